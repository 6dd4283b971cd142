import { isRunning } from './context.ts';
import type { ContainerRecord, WaitCondition, WaitResult } from './types.ts';

interface Waiter {
  readonly condition: WaitCondition;
  readonly resolve: (result: WaitResult) => void;
}

/** Who waits for the end of which container. */
export class Waiters {
  readonly #byId = new Map<string, Set<Waiter>>();

  /** Registers at once; see `ContainerService.wait`. */
  wait(record: ContainerRecord, condition: WaitCondition, signal: AbortSignal): Promise<WaitResult> {
    const { state } = record;
    const settled = state.status !== 'restarting' && !isRunning(record);
    if (condition === 'not-running' && settled) {
      return Promise.resolve({ exitCode: state.exitCode, error: state.error });
    }
    const { promise, resolve, reject } = Promise.withResolvers<WaitResult>();
    const waiters = this.#byId.get(record.id) ?? new Set();
    this.#byId.set(record.id, waiters);
    const waiter: Waiter = { condition, resolve };
    waiters.add(waiter);
    const onAbort = (): void => {
      waiters.delete(waiter);
      reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    return promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  /** Tells those who wait for one of `conditions`. */
  settle(id: string, conditions: readonly WaitCondition[], result: WaitResult): void {
    const waiters = this.#byId.get(id);
    if (waiters === undefined) return;
    for (const waiter of [...waiters]) {
      if (!conditions.includes(waiter.condition)) continue;
      waiters.delete(waiter);
      waiter.resolve(result);
    }
  }

  /** The container is gone. */
  drop(id: string): void {
    this.#byId.delete(id);
  }
}
