/** `slipway daemon`: the engine in the foreground, with the Docker Engine API on its sockets. */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { createLog, type Log } from '#base/log/index.ts';
import { createEngineServer, type EngineServer } from '#engine/server/core/index.ts';
import { type Engine, openEngine } from './engine/engine.ts';
import { watchFaults } from './engine/faults.ts';
import { listListeners } from './engine/listeners.ts';
import { PRODUCT } from './engine/product.ts';
import { type DaemonSettings, daemonUsage, readSettings } from './engine/settings.ts';
import { VERSION } from './version.ts';

/** Requests that are under way get this long when the daemon stops. */
const GRACE_MS = 5000;

/** Runs a daemon with the arguments of its command line until it is told to end; resolves with the exit code. */
export async function daemonMain(args: readonly string[]): Promise<number> {
  try {
    const settings = readSettings(args, process.env);
    if (settings === 'help') {
      process.stdout.write(daemonUsage());
      return 0;
    }
    await runDaemon(settings);
    return 0;
  } catch (error) {
    const fix = error instanceof CodedError ? (error.help?.fix ?? []) : [];
    process.stderr.write(
      `slipway daemon: ${messageOf(error)}\n${fix.map((line) => `  fix: ${line}\n`).join('')}`,
    );
    return error instanceof CodedError && error.code === 'invalid_argument' ? 2 : 1;
  }
}

async function runDaemon(settings: DaemonSettings): Promise<void> {
  const log = createLog({ level: settings.logLevel, write: (line) => process.stderr.write(line) });
  checkPrivileges();
  ignoreLostReaders();
  prepareProcess(log);
  const end = Promise.withResolvers<string>();
  watchFaults(log, () => end.resolve('a fault'));
  watchSignals(log, end.resolve);
  prepareDirectories(settings);
  const listeners = listListeners(settings, log);
  await using engine = await openEngine(settings, log);
  await using server = serve(engine, settings, log);
  const addresses: string[] = [];
  for (const listener of listeners) addresses.push(await server.listen(listener));
  // Whoever waits for the first of these lines may use every address.
  process.stderr.write(addresses.map((address) => `API listen on ${address}\n`).join(''));
  if (settings.pidFile !== undefined) writeFileSync(settings.pidFile, `${process.pid}\n`, { mode: 0o644 });
  const reason = await end.promise;
  log.info('the daemon ends', { reason });
  await server.close({ graceMs: GRACE_MS });
  for (const listener of listeners) if (listener.kind === 'unix') rmSync(listener.path, { force: true });
  if (settings.pidFile !== undefined) rmSync(settings.pidFile, { force: true });
  if (reason === 'a fault') process.exitCode = 1;
}

/** A log that nobody reads any more is no fault: without this each line of it would be one, which makes another line. */
function ignoreLostReaders(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}

function serve(
  engine: Pick<Engine, 'routes' | 'explain'>,
  settings: DaemonSettings,
  log: Log,
): EngineServer & AsyncDisposable {
  const server = createEngineServer({
    routes: engine.routes,
    explain: (error) => engine.explain(error),
    log,
    product: `${PRODUCT}/${VERSION} (linux)`,
    allowedHosts: settings.allowedHosts,
  });
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.close({ graceMs: 0 }) });
}

function checkPrivileges(): void {
  if (process.getuid?.() === 0) return;
  throw new CodedError(
    'failed_precondition',
    'the engine needs root: it mounts, makes namespaces and firewall rules',
    {
      help: { id: 'daemon/needs-root', fix: ['sudo slipway daemon'] },
    },
  );
}

function prepareProcess(log: Log): void {
  process.umask(0o077);
  try {
    // Containers come back by themselves; the engine does not.
    writeFileSync('/proc/self/oom_score_adj', '-500');
  } catch (error) {
    log.debug('the score for out-of-memory was not set', { reason: messageOf(error) });
  }
}

/** Only root looks below these: layers hold set-uid programs, containers hold secrets. */
function prepareDirectories({ root, execRoot }: DaemonSettings): void {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  chmodSync(root, 0o700);
  mkdirSync(execRoot, { recursive: true });
  // Whoever may use the socket must get to it.
  chmodSync(execRoot, 0o711);
}

function watchSignals(log: Log, end: (reason: string) => void): void {
  let asked = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (asked) {
        log.warn('told to end twice: ending at once', { signal });
        process.exit(1);
      }
      asked = true;
      end(signal);
    });
  }
  process.on('SIGHUP', () => log.info('SIGHUP: settings are read at the start only'));
}

if (process.argv[1] === import.meta.filename) process.exit(await daemonMain(process.argv.slice(2)));
