/** Reads a container's log files, which the keeper writes. */
import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { isSystemError } from '#base/errors/index.ts';
import type { LogEntry, LogQuery } from './types.ts';

const READ_BYTES = 256 * 1024;
/** A watcher may miss a change on some file systems; looked at again after this. */
const POLL_MS = 500;

/**
 * The entries of a log, oldest first. With `follow` it goes on until `ended()` and everything is read, or the signal aborts.
 */
export async function* readLog(
  path: string,
  query: LogQuery,
  ended: () => boolean,
): AsyncGenerator<LogEntry> {
  const files = await listFiles(path);
  let start = { file: 0, offset: 0 };
  if (query.tail !== undefined) start = await findTail(files, query.tail, query);
  const wanted = (entry: LogEntry): boolean => (entry.stream === 'stdout' ? query.stdout : query.stderr);
  let last: { handle: FileHandle; offset: number } | undefined;
  const opened: FileHandle[] = [];
  try {
    for (const [number, file] of files.entries()) {
      if (number < start.file) continue;
      const handle = await openMaybe(file);
      if (handle === undefined) continue;
      opened.push(handle);
      let offset = number === start.file ? start.offset : 0;
      for await (const { entry, end } of readEntries(handle, offset)) {
        offset = end;
        if (query.signal.aborted) return;
        const time = nanosOf(entry.time);
        if (query.until !== undefined && time > query.until) return;
        if ((query.since === undefined || time >= query.since) && wanted(entry)) yield entry;
      }
      last = { handle, offset };
    }
    if (query.follow) yield* follow(path, last, opened, query, ended, wanted);
  } finally {
    for (const handle of opened) await handle.close();
  }
}

async function* follow(
  path: string,
  last: { readonly handle: FileHandle; readonly offset: number } | undefined,
  opened: FileHandle[],
  query: LogQuery,
  ended: () => boolean,
  wanted: (entry: LogEntry) => boolean,
): AsyncGenerator<LogEntry> {
  const changes = new Changes(path, query.signal);
  let at = last;
  try {
    for (;;) {
      // Asked before reading: what was written before the end is read after it.
      const isLast = ended();
      if (at === undefined) {
        const handle = await openMaybe(path);
        if (handle !== undefined) {
          opened.push(handle);
          at = { handle, offset: 0 };
        }
      }
      let progressed = false;
      if (at !== undefined) {
        let offset = at.offset;
        for await (const { entry, end } of readEntries(at.handle, offset)) {
          offset = end;
          progressed = true;
          if (query.signal.aborted) return;
          if (query.until !== undefined && nanosOf(entry.time) > query.until) return;
          if ((query.since === undefined || nanosOf(entry.time) >= query.since) && wanted(entry)) yield entry;
        }
        at = { handle: at.handle, offset };
        if (!progressed && (await wasRotated(path, at.handle))) {
          at = undefined;
          continue;
        }
      }
      if (query.signal.aborted || (isLast && !progressed)) return;
      if (query.until !== undefined && BigInt(Date.now()) * 1_000_000n > query.until) return;
      if (!progressed) await changes.next();
    }
  } finally {
    changes.close();
  }
}

/** Wakes when the log's directory changes. */
class Changes {
  readonly #watcher: FSWatcher | undefined;
  readonly #signal: AbortSignal;
  #wake: () => void = () => {};
  #changed = false;

  constructor(path: string, signal: AbortSignal) {
    this.#signal = signal;
    const name = basename(path);
    try {
      this.#watcher = watch(dirname(path), (_event, file) => {
        if (file !== null && !String(file).startsWith(name) && file !== 'exit.json') return;
        this.#changed = true;
        this.#wake();
      });
      this.#watcher.on('error', () => {});
    } catch {
      // Polling alone, then.
    }
  }

  async next(): Promise<void> {
    if (this.#changed) {
      this.#changed = false;
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, POLL_MS);
    this.#signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    clearTimeout(timer);
    this.#changed = false;
  }

  close(): void {
    this.#watcher?.close();
  }
}

async function listFiles(path: string): Promise<readonly string[]> {
  const files = [path];
  for (let number = 1; ; number++) {
    const handle = await openMaybe(`${path}.${number}`);
    if (handle === undefined) return files.reverse();
    await handle.close();
    files.push(`${path}.${number}`);
  }
}

async function openMaybe(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function wasRotated(path: string, handle: FileHandle): Promise<boolean> {
  const current = await openMaybe(path);
  if (current === undefined) return false;
  const [mine, now] = [await handle.stat(), await current.stat()];
  await current.close();
  return mine.ino !== now.ino;
}

async function* readEntries(
  handle: FileHandle,
  from: number,
): AsyncGenerator<{ readonly entry: LogEntry; readonly end: number }> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let rest: Buffer = Buffer.alloc(0);
  let position = from;
  let consumed = from;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    const data =
      rest.length === 0
        ? buffer.subarray(0, bytesRead)
        : Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    let start = 0;
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
      consumed += end + 1 - start;
      const entry = parseEntry(data.toString('utf8', start, end));
      start = end + 1;
      if (entry !== undefined) yield { entry, end: consumed };
    }
    rest = Buffer.from(data.subarray(start));
  }
}

function parseEntry(line: string): LogEntry | undefined {
  try {
    const { log, stream, time } = JSON.parse(line) as {
      readonly log: string;
      readonly stream: LogEntry['stream'];
      readonly time: string;
    };
    return { text: log, stream, time };
  } catch {
    // A line torn by a full disk: the rest of the log is still good.
    return undefined;
  }
}

/** Where the last `count` entries begin; files are read from their end, a block at a time. */
async function findTail(
  files: readonly string[],
  count: number,
  query: LogQuery,
): Promise<{ readonly file: number; readonly offset: number }> {
  const all = query.stdout && query.stderr;
  let missing = count;
  for (let file = files.length - 1; file >= 0; file--) {
    const handle = await openMaybe(files[file] ?? '');
    if (handle === undefined) continue;
    try {
      const { size } = await handle.stat();
      if (missing <= 0) return { file, offset: size };
      const found = await scanBack(
        handle,
        size,
        missing,
        all ? undefined : query.stdout ? 'stdout' : 'stderr',
      );
      if (found.offset !== undefined) return { file, offset: found.offset };
      missing -= found.seen;
    } finally {
      await handle.close();
    }
  }
  return { file: 0, offset: 0 };
}

async function scanBack(
  handle: FileHandle,
  size: number,
  count: number,
  only: LogEntry['stream'] | undefined,
): Promise<{ readonly seen: number; readonly offset: number | undefined }> {
  let position = size;
  let tail: Buffer = Buffer.alloc(0);
  let seen = 0;
  while (position > 0) {
    const length = Math.min(READ_BYTES, position);
    position -= length;
    const block = Buffer.allocUnsafe(length);
    await handle.read(block, 0, length, position);
    const data = Buffer.concat([block, tail]);
    // Lines that begin in this block; the first may begin earlier still.
    let end = data.length;
    for (
      let at = data.lastIndexOf(10, end - 2);
      end > 0;
      at = end >= 2 ? data.lastIndexOf(10, end - 2) : -1
    ) {
      if (at < 0 && position > 0) break;
      const line = data.subarray(at + 1, end);
      if (only === undefined || parseEntry(line.toString('utf8').trimEnd())?.stream === only) seen++;
      end = at + 1;
      if (seen === count) return { seen, offset: position + end };
      if (at < 0) break;
    }
    tail = Buffer.from(data.subarray(0, end));
  }
  return { seen, offset: undefined };
}

/** Nanoseconds since 1970 of an RFC 3339 time. */
export function nanosOf(time: string): bigint {
  const match = /^(.{19})(?:\.(\d{1,9}))?Z$/.exec(time);
  if (match === null) return BigInt(Date.parse(time) || 0) * 1_000_000n;
  return BigInt(Date.parse(`${match[1]}Z`)) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0') || '0');
}
