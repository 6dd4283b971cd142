import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError } from '#base/errors/index.ts';
import { NODE_FLAGS } from '#base/node/index.ts';
import type { ChildEnd, ChildRequest } from './child/protocol.ts';
import type { ScanFacts } from './scan.ts';

const ENTRY = fileURLToPath(new URL('./child/main.ts', import.meta.url));
/** No files but its code, no programs, no threads, no native modules; memory for lines, not for layers. */
const JAIL = ['--permission', '--allow-fs-read=*', '--max-old-space-size=192'];

/** The layer itself is at fault: reading it again would end the same way. */
export class UnreadableLayerError extends CodedError {}

/** How a child is fed and what it may use. */
export interface ProgramOptions {
  readonly source: ByteStream;
  readonly onOutput: (chunk: Buffer) => Promise<void> | void;
  readonly onProgress?: (readBytes: number) => void;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Runs a child over one layer. It is given bytes only as fast as it takes them, and ends early when it has what it wants.
 * @throws {UnreadableLayerError} for what the child says of the layer, and when that takes too long.
 */
export async function runLayerProgram(request: ChildRequest, options: ProgramOptions): Promise<ScanFacts> {
  const { source, onOutput, timeoutMs, signal } = options;
  signal.throwIfAborted();
  const child = spawn(process.execPath, [...NODE_FLAGS, ...JAIL, ENTRY, JSON.stringify(request)], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {},
    cwd: '/',
  });
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  closed.catch(() => {});
  yieldToOthers(child.pid);
  let isLate = false;
  const kill = (): void => void child.kill('SIGKILL');
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, timeoutMs);
  signal.addEventListener('abort', kill, { once: true });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000);
  });
  try {
    const fed = feed(child.stdin, source, options.onProgress);
    for await (const chunk of child.stdout) await onOutput(chunk as Buffer);
    const [exitCode, exitSignal] = await closed;
    child.stdin.destroy();
    await fed;
    signal.throwIfAborted();
    if (isLate)
      throw new UnreadableLayerError(
        'resource_exhausted',
        `reading it takes longer than ${timeoutMs / 1000} seconds`,
      );
    return factsOf(said, exitCode ?? exitSignal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
    kill();
  }
}

/** Pushes and pulls go first. */
function yieldToOthers(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already, or the system does not allow it: then it competes like everybody.
  }
}

/** A chunk is in the pipe before the next is asked for: its buffer may be used again. */
async function feed(
  stdin: Writable,
  source: ByteStream,
  onProgress: ((readBytes: number) => void) | undefined,
): Promise<void> {
  stdin.on('error', () => {}); // it has what it wants, or it died: its end says which
  let readBytes = 0;
  for await (const chunk of source) {
    const isTaken = await new Promise<boolean>((resolve) => {
      if (stdin.destroyed) resolve(false);
      else stdin.write(chunk, (error) => resolve(error === null || error === undefined));
    });
    if (!isTaken) return;
    readBytes += chunk.length;
    onProgress?.(readBytes);
  }
  stdin.end();
}

function factsOf(said: string, exit: number | string | null): ScanFacts {
  let end: ChildEnd | undefined;
  try {
    end = JSON.parse(said.trimEnd().split('\n').at(-1) ?? '') as ChildEnd;
  } catch {
    // Its last words are not ours.
  }
  if (end === undefined)
    throw new CodedError(
      'internal',
      `cannot read the layer: the child ended with ${exit}: ${said.slice(-300)}`,
    );
  if ('facts' in end) return end.facts;
  throw new UnreadableLayerError(end.code, end.message);
}
