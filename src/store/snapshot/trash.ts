import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isSystemError } from '#base/errors/index.ts';

/** A child is started this long after the first tree was thrown away: not while its thrower answers, and once for several. */
const REST_MS = 100;

/** Deletes big trees without making anyone wait: they are renamed away at once and removed by a child. */
export interface Trash {
  /** Takes a tree out of its place. Returns at once; a crash later leaves it in the trash, which the next start empties. */
  throwAway(path: string): void;
  /** Removes what an earlier process left. */
  emptyLeftovers(): void;
  /** Resolves when the trash is empty. */
  drain(): Promise<void>;
  /** Stops removing; what is left goes at the next start. */
  close(): Promise<void>;
}

/** Opens the trash folder `dir`, which must be on the file system of what is thrown away. */
export function createTrash(dir: string): Trash {
  let child: ChildProcess | undefined;
  let working: Promise<void> | undefined;
  let closed = false;
  let hurry = (): void => undefined;
  mkdirSync(dir, { recursive: true, mode: 0o700 });

  function rest(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, REST_MS);
      timer.unref();
      hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function work(): Promise<void> {
    await rest();
    for (;;) {
      const names = closed ? [] : readdirSync(dir);
      if (names.length === 0) return;
      // `--one-file-system`: whatever somebody mounted inside is not ours to delete.
      await run(names.slice(0, 256).map((name) => join(dir, name)));
      if (readdirSync(dir).length >= names.length) return; // something cannot be removed: leave it to the next start
    }
  }

  async function run(paths: readonly string[]): Promise<void> {
    const code = await new Promise<number | null>((resolve) => {
      child = spawn('rm', ['-rf', '--one-file-system', '--', ...paths], { stdio: 'ignore' });
      child.on('error', () => resolve(-1));
      child.on('close', resolve);
    });
    child = undefined;
    if (code === -1) for (const path of paths) await rm(path, { recursive: true, force: true });
  }

  function start(): void {
    if (closed || working !== undefined) return;
    working = work()
      .catch(() => undefined)
      .finally(() => {
        working = undefined;
      });
  }

  return {
    throwAway: (path) => {
      try {
        renameSync(path, join(dir, `${basename(path)}-${randomBytes(6).toString('hex')}`));
      } catch (error) {
        if (!isSystemError(error, 'ENOENT')) throw error;
      }
      start();
    },
    emptyLeftovers: start,
    drain: async () => {
      while (working !== undefined) {
        hurry();
        await working;
      }
    },
    close: async () => {
      closed = true;
      child?.kill('SIGTERM');
      hurry();
      await working;
    },
  };
}
