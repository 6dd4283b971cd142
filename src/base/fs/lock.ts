import { type FileHandle, open } from 'node:fs/promises';
import { sleep } from '#base/async/index.ts';
import { CodedError } from '#base/errors/index.ts';
import { tryLock } from '#base/posix/index.ts';

/** A held lock; disposing it, or the end of the process however it comes, gives it back. */
export interface FileLock extends AsyncDisposable {
  readonly path: string;
}

/**
 * Takes the lock file at `path` for this process (flock: nothing is left behind after a crash), waiting up to `waitMs`.
 * The file holds the process id of its last holder and is never removed.
 * @throws {CodedError} `conflict` naming the holder when the lock stays taken.
 */
export async function acquireFileLock(
  path: string,
  options: { readonly waitMs?: number; readonly signal?: AbortSignal } = {},
): Promise<FileLock> {
  const file = await open(path, 'a+', 0o600);
  try {
    await waitForLock(file, path, options);
    await file.truncate(0);
    await file.write(`${process.pid}\n`);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { path, [Symbol.asyncDispose]: () => file.close() };
}

async function waitForLock(
  file: FileHandle,
  path: string,
  options: { readonly waitMs?: number; readonly signal?: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + (options.waitMs ?? 0);
  for (let pauseMs = 1; !tryLock(file.fd, 'exclusive'); pauseMs = Math.min(50, pauseMs * 2)) {
    if (performance.now() >= deadline) {
      const holder = (await file.readFile('utf8')).trim();
      throw new CodedError('conflict', `cannot lock "${path}": held by process ${holder || 'unknown'}`);
    }
    await sleep(pauseMs, options.signal);
  }
}
