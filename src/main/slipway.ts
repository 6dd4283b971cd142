/**
 * The program `slipway`: the services `daemon`, `hub` and `keeper`, and the client for everything else. Only what the
 * command at hand needs is loaded. No top-level await: the published form is one CommonJS file, which starts twice as fast.
 */
import { mkdirSync, statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

type Program = (args: readonly string[]) => Promise<number>;

const PROGRAMS: Readonly<Record<string, () => Promise<Program>>> = {
  daemon: async () => (await import('./daemon.ts')).daemonMain,
  hub: async () => (await import('./hub.ts')).hubMain,
  keeper: async () => (await import('./keeper.ts')).keeperMain,
};

keepCompiledCode();
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

/**
 * Keeps compiled code in a folder that is ours alone. Node's default is a shared one under /tmp, where another user could
 * leave code for us to run.
 */
function keepCompiledCode(): void {
  const home = process.env['HOME'];
  const base = process.env['XDG_CACHE_HOME'] || (home ? join(home, '.cache') : undefined);
  if (base === undefined || process.env['NODE_COMPILE_CACHE'] !== undefined) return;
  const folder = join(base, 'slipway');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(folder);
    if (uid === process.geteuid?.() && (mode & 0o022) === 0) enableCompileCache(folder);
  } catch {
    // No place for a cache: the program works without it.
  }
}
