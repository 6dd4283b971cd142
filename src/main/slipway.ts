/**
 * The program `slipway`: the services `daemon`, `hub` and `keeper`, and the client for everything else. Only what the
 * command at hand needs is loaded. No top-level await: the published form is one CommonJS file, which starts twice as fast.
 */
import './compiled-code.ts';

type Program = (args: readonly string[]) => Promise<number>;

const PROGRAMS: Readonly<Record<string, () => Promise<Program>>> = {
  daemon: async () => (await import('./daemon.ts')).daemonMain,
  hub: async () => (await import('./hub.ts')).hubMain,
  keeper: async () => (await import('./keeper.ts')).keeperMain,
};

start(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);

async function start(words: readonly string[]): Promise<number> {
  const [word = '', ...rest] = words;
  const load = Object.hasOwn(PROGRAMS, word) ? PROGRAMS[word] : undefined;
  if (load !== undefined) return (await load())(rest);
  const { cliMain } = await import('./cli.ts');
  return cliMain(words);
}
