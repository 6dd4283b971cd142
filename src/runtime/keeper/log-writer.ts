/**
 * A container's log, one JSON document per line, as Docker's json-file driver writes it:
 *
 *     {"log":"text\n","stream":"stdout","time":"2026-11-24T08:15:14.123456789Z"}
 *
 * A line longer than 16 KiB comes as several documents, all but the last without `\n` at the end of `log`.
 * Rotation renames `x` to `x.1`, `x.1` to `x.2` and so on.
 */
import { closeSync, openSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import type { LogTarget } from './types.ts';

/** Where a longer line is cut, as in Docker. */
export const PARTIAL_BYTES = 16 * 1024;
/** More than this waiting for the disk stops the container's output. */
const QUEUE_LIMIT = 4 * 1024 * 1024;
const NEWLINE = 10;
const LOG_MODE = 0o640;
/** A jump of the wall clock larger than this is followed. */
const CLOCK_STEP_MS = 50;
const BACKWARD_LIMIT_NS = 100_000_000n;

/** Which stream a line came from. */
export type LogStream = 'stdout' | 'stderr';

/** Appends to one log. Writes never overlap; a failed write is told once and the log goes on with the next. */
export class LogWriter {
  readonly #target: LogTarget;
  readonly #onError: (error: unknown) => void;
  readonly #pending: Record<LogStream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  #queue: string[] = [];
  #queued = 0;
  #size = 0;
  #file: FileHandle | undefined;
  #writing: Promise<void> | undefined;
  #onDrain: (() => void)[] = [];

  constructor(target: LogTarget, onError: (error: unknown) => void) {
    this.#target = target;
    this.#onError = onError;
    // There from the start: whoever follows the log holds the file, even if the container is removed before they read it.
    try {
      closeSync(openSync(target.path, 'a', LOG_MODE));
    } catch (error) {
      onError(error);
    }
  }

  /** Takes output; false when the writer is behind: wait for `drained` before more. */
  append(stream: LogStream, chunk: Buffer): boolean {
    const held = this.#pending[stream];
    const data = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const time = now();
    let start = 0;
    for (;;) {
      const end = data.indexOf(NEWLINE, start);
      const length = (end < 0 ? data.length : end) - start;
      if (length > PARTIAL_BYTES) {
        const cut = characterBoundary(data, start, start + PARTIAL_BYTES);
        this.#push(data.toString('utf8', start, cut), stream, time);
        start = cut;
        continue;
      }
      if (end < 0) break;
      this.#push(data.toString('utf8', start, end + 1), stream, time);
      start = end + 1;
    }
    // A copy: the chunk's memory belongs to the reader.
    this.#pending[stream] = Buffer.from(data.subarray(start));
    this.#kick();
    return this.#queued < QUEUE_LIMIT;
  }

  /** Resolves when there is room again. */
  drained(): Promise<void> {
    if (this.#queued < QUEUE_LIMIT) return Promise.resolve();
    return new Promise((resolve) => this.#onDrain.push(resolve));
  }

  /** Writes what is left, a last line without newline included, and closes the file. */
  async close(): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.#pending[stream];
      if (rest.length > 0) this.#push(rest.toString('utf8'), stream, now());
      this.#pending[stream] = Buffer.alloc(0);
    }
    this.#kick();
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  #push(text: string, stream: LogStream, time: string): void {
    const line = `{"log":${JSON.stringify(text)},"stream":"${stream}","time":"${time}"}\n`;
    this.#queue.push(line);
    this.#queued += line.length;
  }

  #kick(): void {
    if (this.#writing !== undefined || this.#queue.length === 0) return;
    this.#writing = this.#drainQueue().finally(() => {
      this.#writing = undefined;
      this.#kick();
    });
  }

  async #drainQueue(): Promise<void> {
    while (this.#queue.length > 0) {
      const lines = this.#queue;
      this.#queue = [];
      try {
        await this.#write(Buffer.from(lines.join('')));
      } catch (error) {
        this.#onError(error);
      }
      this.#queued = this.#queue.reduce((sum, line) => sum + line.length, 0);
      for (const resolve of this.#onDrain.splice(0)) resolve();
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    const { maxBytes, path } = this.#target;
    if (this.#file === undefined) {
      this.#file = await open(path, 'a', LOG_MODE);
      this.#size = (await this.#file.stat()).size;
    }
    if (maxBytes <= 0 || this.#size + bytes.length <= maxBytes) {
      await this.#file.appendFile(bytes);
      this.#size += bytes.length;
      return;
    }
    // The first line that does not fit any more begins the next file; a line is never cut.
    const room = Math.max(0, maxBytes - this.#size);
    let cut = room === 0 ? 0 : bytes.lastIndexOf(NEWLINE, room - 1) + 1;
    if (cut === 0 && this.#size === 0) cut = bytes.indexOf(NEWLINE) + 1;
    if (cut > 0) {
      await this.#file.appendFile(bytes.subarray(0, cut));
      this.#size += cut;
    }
    if (cut === bytes.length) return;
    await this.#rotate();
    await this.#write(bytes.subarray(cut));
  }

  async #rotate(): Promise<void> {
    const { path, maxFiles } = this.#target;
    await this.#file?.close();
    this.#file = undefined;
    if (maxFiles <= 1) await rm(path, { force: true });
    for (let number = maxFiles - 1; number >= 1; number--) {
      const from = number === 1 ? path : `${path}.${number - 1}`;
      await rename(from, `${path}.${number}`).catch(() => {});
    }
  }
}

/** Last place at or before `cut` that does not split a UTF-8 character. */
function characterBoundary(data: Buffer, start: number, cut: number): number {
  let at = cut;
  while (at > start && cut - at < 4 && ((data[at] ?? 0) & 0xc0) === 0x80) at--;
  return at > start ? at : cut;
}

let lastNs = 0n;
let offsetMs = Date.now() - performance.now();

/** The clock of the log in whole milliseconds since 1970: what is written later has no earlier time. */
export function logClock(): number {
  return Math.floor(wallMs());
}

function wallMs(): number {
  const monotonicMs = performance.now();
  const driftMs = Date.now() - monotonicMs - offsetMs;
  if (Math.abs(driftMs) > CLOCK_STEP_MS) offsetMs += driftMs;
  return offsetMs + monotonicMs;
}

/** The wall clock with nanoseconds; later calls give later times, so that lines keep their order. */
function now(): string {
  let ns = BigInt(Math.floor(wallMs() * 1000)) * 1000n;
  if (ns <= lastNs && lastNs - ns < BACKWARD_LIMIT_NS) ns = lastNs + 1n;
  lastNs = ns;
  const seconds = Number(ns / 1_000_000_000n);
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${(ns % 1_000_000_000n).toString().padStart(9, '0')}Z`;
}
