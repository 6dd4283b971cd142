export { createExecDriver, removeMountPoint } from './exec.ts';
export { cloneGit, createFetcher, type Fetcher, isGitUrl, parseGitUrl } from './fetch/index.ts';
export { type FileClient, FileWorkers } from './file/client.ts';
export { createFileDriver, hashSources } from './file-op.ts';
export { LayerDescriber } from './layers.ts';
export { createSourceDriver, stateOfImage } from './source.ts';
