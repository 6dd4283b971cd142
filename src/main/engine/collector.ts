import type { Log } from '#base/log/index.ts';
import type { LeaseStore } from '#store/lease/types.ts';

const FIRST_MS = 60_000;
const INTERVAL_MS = 15 * 60_000;

/**
 * Collects garbage from time to time, beside everything else. What a removal frees goes at once; this is for what
 * crashes and aborted transfers left.
 */
export function startCollector(leases: LeaseStore, log: Log): AsyncDisposable {
  const stop = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let timer = setTimeout(run, FIRST_MS);

  function run(): void {
    running = collect();
  }

  async function collect(): Promise<void> {
    try {
      const report = await leases.collectGarbage(stop.signal);
      if (report.blobs + report.snapshots > 0) log.info('garbage collected', { ...report });
    } catch (error) {
      if (!stop.signal.aborted) log.error('garbage was not collected', { error });
    }
    if (!stop.signal.aborted) timer = setTimeout(run, INTERVAL_MS);
  }

  return {
    [Symbol.asyncDispose]: async () => {
      clearTimeout(timer);
      stop.abort();
      await running;
    },
  };
}
