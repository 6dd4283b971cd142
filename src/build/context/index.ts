export { listFirstTexts, readDockerfile, readIgnoreFile, type TextTree } from './dockerfile.ts';
export { createExcluder } from './ignore.ts';
export { hasWildcard, matchPath, unescapePattern } from './match.ts';
export {
  type ArrivedContext,
  type ContextTools,
  readSmallFile,
  receiveContext,
  type SmallCall,
  type SmallContext,
} from './open.ts';
export { type Lookup, type Resolved, resolvePath } from './resolve.ts';
export { SMALL_BYTES, unpackSmall } from './small.ts';
export { entryOf, openTree } from './tree.ts';
export type { EntryType, IgnoreLine, IgnoreText, Tree, TreeEntry, TreeSpec } from './types.ts';
