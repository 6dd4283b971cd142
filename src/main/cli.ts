import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { NODE_FLAGS } from '#base/node/index.ts';
import {
  type CliContext,
  type ContextMaker,
  chooseEngine,
  connectionHelp,
  runCli,
  type TlsFlags,
} from '#cli/command/index.ts';
import { createEngineClient, type EngineClient } from '#engine/client/index.ts';
import { VERSION } from './version.ts';

const INTERRUPTED_EXIT = 130;

/** Runs the client with this process's environment and streams; resolves with the exit code. */
export async function cliMain(words: readonly string[]): Promise<number> {
  const signals = new Signals();
  // A reader that goes away (`slipway logs x | head`) ends the command without a word.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => process.exit(0));
  const code = await runCli(words, contextMaker(signals));
  for (const stream of [process.stdout, process.stderr])
    if (stream.writableLength > 0) await new Promise<void>((resolve) => stream.write('', () => resolve()));
  return code;
}

/** SIGINT and SIGTERM end the command, the second time at once; a command may take all signals for its container. */
class Signals {
  readonly #interrupted = new AbortController();
  #handler: ((signal: NodeJS.Signals) => void) | undefined;

  constructor() {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => this.#onSignal(name));
  }

  get interrupted(): AbortSignal {
    return this.#interrupted.signal;
  }

  intercept(handler: (signal: NodeJS.Signals) => void): () => void {
    this.#handler = handler;
    const others = (['SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const).map((name) => {
      const listener = (): void => handler(name);
      process.on(name, listener);
      return () => process.off(name, listener);
    });
    return () => {
      this.#handler = undefined;
      for (const stop of others) stop();
    };
  }

  #onSignal(name: NodeJS.Signals): void {
    if (this.#handler !== undefined) {
      this.#handler(name);
      return;
    }
    if (this.#interrupted.signal.aborted) process.exit(INTERRUPTED_EXIT);
    this.#interrupted.abort(new Error('interrupted'));
  }
}

function contextMaker(signals: Signals): ContextMaker {
  return ({ host, context, configDir, tls }) => {
    const homeDir = process.env['HOME'] || homedir();
    const dir = configDir ?? process.env['DOCKER_CONFIG'] ?? join(homeDir, '.docker');
    const configPath = join(dir, 'config.json');
    let engine: Promise<EngineClient> | undefined;
    const config: CliContext['config'] = async () => {
      const { loadDockerConfig } = await import('#registry/auth/index.ts');
      return loadDockerConfig(configPath);
    };
    const made: CliContext = {
      version: VERSION,
      environment: process.env,
      workingDir: process.cwd(),
      homeDir,
      program: basename(process.env['SLIPWAY_PROGRAM'] ?? 'slipway'),
      configPath,
      selfCommand: [process.execPath, ...NODE_FLAGS, process.argv[1] ?? ''],
      engineChoice: { ...(host ? { host } : {}), ...(context ? { context } : {}) },
      signal: signals.interrupted,
      interceptSignals: (handler) => signals.intercept(handler),
      stdin: {
        get isTTY() {
          return process.stdin.isTTY === true;
        },
        get stream() {
          return process.stdin;
        },
        [Symbol.asyncIterator]: () => process.stdin[Symbol.asyncIterator](),
      },
      stdout: outputOf(process.stdout),
      stderr: outputOf(process.stderr),
      config,
      engine: () => {
        engine ??= connect(made, { host, context, tls });
        return engine;
      },
    };
    return made;
  };
}

async function connect(
  context: CliContext,
  choice: {
    readonly host: string | undefined;
    readonly context: string | undefined;
    readonly tls: TlsFlags | undefined;
  },
): Promise<EngineClient> {
  const { endpoint } = await chooseEngine({
    ...(choice.host ? { host: choice.host } : {}),
    ...(choice.context ? { context: choice.context } : {}),
    ...(choice.tls ? { tls: choice.tls } : {}),
    environment: context.environment,
    homeDir: context.homeDir,
    configPath: context.configPath,
    config: context.config,
  });
  return createEngineClient(endpoint, (error) => connectionHelp(context, error));
}

function outputOf(stream: NodeJS.WriteStream): CliContext['stdout'] {
  return {
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns || 80;
    },
    get rows() {
      return stream.rows || 24;
    },
    write: (text) => void stream.write(text),
    stream,
  };
}
