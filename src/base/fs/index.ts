/** Files that survive a crash, and paths that cannot leave their root. */
export { renameDurably, syncDirectory, syncFile, syncTree, writeFileAtomic } from './durable.ts';
export { acquireFileLock, type FileLock } from './lock.ts';
export { cleanPath, joinInRoot } from './path.ts';
