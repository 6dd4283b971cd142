/**
 * What the daemon does with an exception nobody caught. One that a request caused (the async context says so) is a bug in
 * that request: it is logged, its connection is closed, the daemon goes on. Any other may have left the engine half-way
 * through something, so the daemon ends; containers go on under the keeper, and the next start finds the state on disk.
 */
import type { Log } from '#base/log/index.ts';
import { currentRequest } from '#engine/server/core/index.ts';

/** Watches this process; `end` is called for an exception that no request caused. */
export function watchFaults(log: Log, end: () => void): void {
  const onFault = (kind: string) => (error: unknown) => {
    const request = currentRequest();
    const cause = error instanceof Error ? error : new Error(String(error));
    if (request === undefined) {
      log.error(`${kind} outside of a request: the daemon ends`, { error: cause });
      end();
      return;
    }
    log.error(`${kind} in a request: its connection is closed`, {
      method: request.method,
      path: request.path,
      error: cause,
    });
    request.abandon();
  };
  process.on('uncaughtException', onFault('uncaught exception'));
  process.on('unhandledRejection', onFault('unhandled rejection'));
}
