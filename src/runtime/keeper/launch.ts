import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { openPipe, receiveFd } from '#base/posix/index.ts';
import { readRuntimeError } from '#runtime/process/index.ts';
import type { LogWriter } from './log-writer.ts';
import { closeAll, type Session } from './session.ts';
import type { RuntimeAddress, StreamOptions } from './types.ts';

/** One start of a process through the OCI runtime. */
export interface Launch {
  readonly runtime: RuntimeAddress;
  /** `run` or `exec`, with its own flags. */
  readonly command: readonly string[];
  /** What comes last: the container's id. */
  readonly operand: string;
  readonly streams: StreamOptions;
  readonly log: LogWriter | undefined;
  /** Directory of small files of this start; short, for a socket's path has 108 bytes at most. */
  readonly scratchDir: string;
  readonly name: string;
}

/**
 * Starts a process detached and connects its streams to `session`. Returns its pid; it is a child of this process then.
 * @throws {CodedError} `invalid_argument` with the runtime's words; nothing is left of it.
 */
export async function launch(own: OwnChild, session: Session, options: Launch): Promise<number> {
  mkdirSync(options.scratchDir, { recursive: true, mode: 0o700 });
  const files = {
    pid: join(options.scratchDir, `${options.name}.pid`),
    log: join(options.scratchDir, `${options.name}.log`),
    console: join(options.scratchDir, `${options.name}.sock`),
  };
  try {
    return options.streams.tty
      ? await launchTerminal(own, session, options, files)
      : await launchPipes(own, session, options, files);
  } finally {
    for (const path of Object.values(files)) rmSync(path, { force: true });
  }
}

/** Told the pid of the runtime, which Node waits for. */
export type OwnChild = (pid: number | undefined) => void;

type Files = Readonly<Record<'pid' | 'log' | 'console', string>>;

async function launchPipes(own: OwnChild, session: Session, options: Launch, files: Files): Promise<number> {
  const stdin = options.streams.openStdin ? openPipe() : undefined;
  const [stdout, stderr] = [openPipe(), openPipe()];
  let pid: number;
  try {
    pid = await runRuntime(own, options, files, [stdin?.readFd ?? 'ignore', stdout.writeFd, stderr.writeFd]);
  } catch (error) {
    closeAll([stdin?.writeFd, stdout.readFd, stderr.readFd]);
    throw error;
  } finally {
    closeAll([stdin?.readFd, stdout.writeFd, stderr.writeFd]);
  }
  session.startPipes(
    { stdin: stdin?.writeFd, stdout: stdout.readFd, stderr: stderr.readFd },
    options.streams,
    options.log,
  );
  return pid;
}

async function launchTerminal(
  own: OwnChild,
  session: Session,
  options: Launch,
  files: Files,
): Promise<number> {
  const server = createServer({ pauseOnConnect: true });
  let terminal: number | undefined;
  let failure: unknown;
  server.on('connection', (socket: Socket) => {
    const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
    try {
      terminal = receiveFd(fd);
    } catch (error) {
      failure = error;
    } finally {
      socket.destroy();
    }
  });
  server.listen(files.console);
  await once(server, 'listening');
  try {
    const pid = await runRuntime(
      own,
      { ...options, command: [...options.command, '--console-socket', files.console] },
      files,
      ['ignore', 'ignore', 'ignore'],
    );
    if (terminal === undefined)
      throw new CodedError('internal', 'the runtime gave no terminal', { cause: failure });
    session.startTerminal(terminal, options.streams, options.log);
    return pid;
  } catch (error) {
    closeAll([terminal]);
    throw error;
  } finally {
    server.close();
  }
}

type Stdio = readonly [number | 'ignore', number | 'ignore', number | 'ignore'];

async function runRuntime(own: OwnChild, options: Launch, files: Files, stdio: Stdio): Promise<number> {
  const { path, root } = options.runtime;
  const child = spawn(
    path,
    [
      '--root',
      root,
      '--log',
      files.log,
      '--log-format',
      'json',
      ...options.command,
      '--pid-file',
      files.pid,
      options.operand,
    ],
    { stdio: [...stdio], env: { PATH: process.env['PATH'] } },
  );
  own(child.pid);
  let code: number | null;
  try {
    [code] = (await once(child, 'exit')) as [number | null];
  } catch (error) {
    throw new CodedError('failed_precondition', `cannot run "${path}": ${(error as Error).message}`);
  }
  if (code !== 0) {
    const message = readRuntimeError(files.log) ?? `"${path}" ended with exit code ${code}`;
    throw new CodedError('invalid_argument', message);
  }
  return Number(readFileSync(files.pid, 'utf8'));
}
