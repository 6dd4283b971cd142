/**
 * The system calls Node lacks, one typed function each. Everything is synchronous, and throws a `PosixError` with a `code`
 * like Node's system errors. koffi is loaded at the first call.
 */
export * from './file.ts';
export * from './hangup.ts';
export * from './heap.ts';
export { loadPosix, PosixError, type PosixPath } from './library.ts';
export * from './mount.ts';
export * from './netlink.ts';
export * from './netns.ts';
export * from './nftables.ts';
export * from './pipe.ts';
export * from './placement.ts';
export * from './process.ts';
export * from './program-pages.ts';
export * from './socket.ts';
export * from './xattr.ts';
