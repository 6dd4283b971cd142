import { dropProgramPages, trimHeap } from '#base/posix/index.ts';

const INTERVAL_MS = 10_000;
/** What the process may use of one CPU over an interval and still count as idle. */
const IDLE_CPU_SHARE = 0.02;
/** Growth that is worth the few milliseconds. */
const GROWTH_BYTES = 4 * 1024 * 1024;

/**
 * Gives memory back to the system whenever the process has nothing to do: what passing layers and contexts have left behind,
 * and the parts of the program that only its start or its last task needed.
 */
export function startTrimming(): Disposable {
  let usedMicroseconds = cpuMicroseconds();
  let trimmedBytes = 0;
  const timer = setInterval(() => {
    const used = cpuMicroseconds();
    const isIdle = used - usedMicroseconds < INTERVAL_MS * 1000 * IDLE_CPU_SHARE;
    usedMicroseconds = used;
    if (!isIdle || process.memoryUsage.rss() < trimmedBytes + GROWTH_BYTES) return;
    trimHeap();
    dropProgramPages();
    trimmedBytes = process.memoryUsage.rss();
  }, INTERVAL_MS).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
