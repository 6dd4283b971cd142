import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex, Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { CodedError } from '#base/errors/index.ts';
import { NODE_FLAGS } from '#base/node/index.ts';
import {
  type ChildFacts,
  type ChildReply,
  type ChildRequest,
  CONTROL_FD,
  OUTPUT_FD,
} from './child/protocol.ts';

const ENTRY = fileURLToPath(new URL('./child/main.ts', import.meta.url));
/** Children kept for the next job, and how long. */
const IDLE_MAX = 2;
const IDLE_MS = 10_000;

/** One child process; it does one job at a time. */
export class Child {
  readonly #process: ChildProcess;
  readonly #control: Duplex;
  #rest = '';
  #waiting:
    | {
        readonly resolve: (facts: ChildFacts) => void;
        readonly reject: (error: Error) => void;
        readonly progress: ((bytes: number) => void) | undefined;
      }
    | undefined;
  #isGone = false;

  constructor() {
    this.#process = spawn(process.execPath, [...NODE_FLAGS, ENTRY], {
      stdio: ['pipe', 'ignore', 'inherit', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      cwd: '/',
    });
    this.#control = this.#process.stdio[CONTROL_FD] as Duplex;
    this.#control.setEncoding('utf8');
    this.#control.on('data', (text: string) => this.#take(text));
    this.#control.on('error', () => {});
    this.input.on('error', () => {});
    this.output.on('error', () => {});
    this.#process.once('error', (error) => this.#end(error.message));
    this.#process.once('exit', (code, signal) => {
      // What it said last may still be on its way.
      const end = (): void => this.#end(`it ended with ${code ?? signal}`);
      if (this.#control.closed) end();
      else this.#control.once('close', end);
    });
    this.setIdle(true);
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Framed bytes of a streamed layer. */
  get input(): Writable {
    return this.#process.stdin as Writable;
  }

  /** Framed bytes of a streamed changeset. */
  get output(): Readable {
    return this.#process.stdio[OUTPUT_FD] as Readable;
  }

  /** Does a job. A failed one ends the child. */
  run(
    request: ChildRequest,
    options: {
      readonly progress?: ((bytes: number) => void) | undefined;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<ChildFacts> {
    const { signal, progress } = options;
    signal?.throwIfAborted();
    return new Promise<ChildFacts>((resolve, reject) => {
      const onAbort = (): void => {
        this.kill();
        settle(() => reject(signal?.reason as Error));
      };
      const settle = (finish: () => void): void => {
        signal?.removeEventListener('abort', onAbort);
        this.#waiting = undefined;
        finish();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting = {
        progress,
        resolve: (facts) => settle(() => resolve(facts)),
        reject: (error) => settle(() => reject(error)),
      };
      this.#control.write(`${JSON.stringify(request)}\n`);
    });
  }

  kill(): void {
    this.#isGone = true;
    this.#process.kill('SIGKILL');
  }

  /** An idle child does not keep the daemon alive. */
  setIdle(isIdle: boolean): void {
    for (const handle of [this.#process, this.#process.stdin, this.output, this.#control]) {
      const referable = handle as { ref?(): void; unref?(): void } | null;
      if (isIdle) referable?.unref?.();
      else referable?.ref?.();
    }
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#answer(JSON.parse(line) as ChildReply);
  }

  #answer(reply: ChildReply): void {
    const waiting = this.#waiting;
    if (reply.kind === 'progress') waiting?.progress?.(reply.bytes);
    else if (reply.kind === 'done') waiting?.resolve(reply.facts);
    else {
      this.#isGone = true;
      waiting?.reject(
        new CodedError(reply.code, reply.message, { subject: reply.subject, help: reply.help }),
      );
    }
  }

  #end(how: string): void {
    this.#isGone = true;
    this.#waiting?.reject(new CodedError('internal', `cannot work on the layer: ${how}`));
  }
}

/** Children by demand; a few stay warm for a while. */
export class ChildPool {
  readonly #idle: { readonly child: Child; readonly timer: NodeJS.Timeout }[] = [];
  #isClosed = false;

  /** Runs `job` with a child of its own. */
  async use<T>(job: (child: Child) => Promise<T>): Promise<T> {
    const child = this.#take();
    child.setIdle(false);
    try {
      const result = await job(child);
      this.#keep(child);
      return result;
    } catch (error) {
      child.kill();
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const { child, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      child.kill();
    }
  }

  #take(): Child {
    for (let kept = this.#idle.pop(); kept !== undefined; kept = this.#idle.pop()) {
      clearTimeout(kept.timer);
      if (!kept.child.isGone) return kept.child;
    }
    return new Child();
  }

  #keep(child: Child): void {
    child.setIdle(true);
    if (child.isGone || this.#isClosed || this.#idle.length >= IDLE_MAX) {
      child.kill();
      return;
    }
    const timer = setTimeout(() => {
      const at = this.#idle.findIndex((kept) => kept.child === child);
      if (at >= 0) this.#idle.splice(at, 1);
      child.kill();
    }, IDLE_MS);
    timer.unref();
    this.#idle.push({ child, timer });
  }
}
