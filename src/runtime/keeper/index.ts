export { connectKeeper, type EnsureKeeperOptions, ensureKeeper } from './client.ts';
export { type KeeperServerOptions, runKeeper } from './server.ts';
export type {
  AttachRequest,
  ExitRecord,
  Keeper,
  KeeperEvent,
  KeeperExec,
  KeeperStart,
  KeptProcess,
  LogTarget,
  RuntimeAddress,
  StreamOptions,
  TerminalSize,
} from './types.ts';
