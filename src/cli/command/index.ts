export { connectionHelp } from './connection-help.ts';
export { chooseEngine, type TlsFlags } from './host.ts';
export { type ContextMaker, runCli } from './run-cli.ts';
export type { CliContext } from './types.ts';
