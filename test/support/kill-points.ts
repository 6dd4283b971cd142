/**
 * Ends a process at a chosen system call that changes the disk: before its first one, before its second one, and so on.
 * Each thread counts its own calls; the first that reaches the number ends the process.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** Calls that write, move, remove or wait for the disk. */
const CALLS =
  'fsync,fdatasync,pwrite64,rename,renameat,renameat2,unlink,unlinkat,link,linkat,mkdir,mkdirat,rmdir,ftruncate,truncate';

const PATIENCE_MS = 1000;

/** Why these tests are skipped, or `false`. */
export const NEEDS_STRACE =
  spawnSync('strace', ['-V']).status === 0 ? false : 'strace is not installed on this machine';

/** A process that is about to be killed. */
export interface KillPoint extends AsyncDisposable {
  /** Ends the watching; a process that has not reached its call lives on. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Kills `pid`, as `kill -9` does, when one of its threads enters its `count`th call that changes the disk. */
export async function killAt(pid: number, count: number): Promise<KillPoint> {
  const child = spawn(
    'strace',
    [
      '-f',
      '-o',
      '/dev/null',
      '-e',
      `trace=${CALLS}`,
      '-e',
      `inject=${CALLS}:signal=SIGKILL:when=${count}`,
      '-p',
      String(pid),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const exited = once(child, 'exit');
  await new Promise<void>((resolve, reject) => {
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
      if (/ attached/.test(said)) resolve();
    });
    child.once('exit', () => reject(new Error(`strace did not attach to ${pid}: ${said}`)));
  });
  return {
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill('SIGINT');
      // It may wait for ever for the last thread of a process that it has just killed.
      const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** The numbers of calls to try: every one up to `dense`, then further and further apart. */
export function* killCounts(dense: number, growth: number): Generator<number> {
  let count = 1;
  for (; ; count = count < dense ? count + 1 : Math.max(count + 1, Math.floor(count * growth))) yield count;
}
