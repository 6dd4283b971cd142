/** `slipway keeper --socket <path>`: holds the pipes, terminals and exit codes of an engine's containers. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { messageOf } from '#base/errors/index.ts';
import { runKeeper } from '#runtime/keeper/index.ts';
import { startTrimming } from './idle-memory.ts';

/** Runs a keeper with the arguments of its command line; resolves with the exit code of the program. */
export async function keeperMain(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { socket: { type: 'string' } } });
  if (values.socket === undefined) {
    process.stderr.write('usage: slipway keeper --socket <path>\n');
    return 2;
  }
  // Losing it loses the containers' output: the last to be killed when memory is short.
  try {
    writeFileSync('/proc/self/oom_score_adj', '-500');
  } catch {
    // Not allowed here.
  }
  // For the same reason a mistake in one container's handling is told, and the others go on.
  const tell = (error: unknown): void => {
    process.stderr.write(`${new Date().toISOString()} ${error instanceof Error ? error.stack : error}\n`);
  };
  process.on('uncaughtException', tell);
  process.on('unhandledRejection', tell);
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGPIPE'] as const) process.on(signal, () => {});
  using _ = startTrimming();
  try {
    await runKeeper({
      socketPath: values.socket,
      onError: (message) => process.stderr.write(`${new Date().toISOString()} ${message}\n`),
    });
    return 0;
  } catch (error) {
    process.stderr.write(`${new Date().toISOString()} ${messageOf(error)}\n`);
    return 1;
  }
}

if (process.argv[1] === import.meta.filename) process.exit(await keeperMain(process.argv.slice(2)));
