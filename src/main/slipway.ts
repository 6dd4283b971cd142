/**
 * The program `slipway`: the services `daemon`, `hub` and `keeper`, and the client for everything else. Only what the
 * command at hand needs is loaded.
 */
import { enableCompileCache } from 'node:module';

enableCompileCache?.();

const [, , word = '', ...rest] = process.argv;
void start();

/** No top-level await: the published client is one CommonJS file. */
async function start(): Promise<void> {
  switch (word) {
    case 'daemon':
      process.exit(await (await import('./daemon.ts')).daemonMain(rest));
      break;
    case 'hub':
      process.exit(await (await import('./hub.ts')).hubMain(rest));
      break;
    case 'keeper':
      process.exit(await (await import('./keeper.ts')).keeperMain(rest));
      break;
    default:
      await (await import('./cli.ts')).main();
  }
}
