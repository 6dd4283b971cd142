import type { ExitRecord } from '#runtime/keeper/types.ts';
import type { Context } from './context.ts';
import type { ContainerRecord } from './types.ts';

const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 60_000;
/** A container that ran this long starts its back-off anew. */
const STEADY_MS = 10_000;

/** What restart policies want: which containers are started again, and after how long. */
export class Restarts {
  readonly #context: Context;
  readonly #start: (id: string) => Promise<unknown>;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #backoff = new Map<string, number>();
  #closed = false;

  constructor(context: Context, start: (id: string) => Promise<unknown>) {
    this.#context = context;
    this.#start = start;
  }

  /** Starts nothing any more. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** Whether a container that ended so is started again. */
  isWanted(record: ContainerRecord, exit: ExitRecord): boolean {
    if (this.#closed || record.stoppedByHand) return false;
    const { Name: policy = 'no', MaximumRetryCount: limit = 0 } = record.hostConfig.RestartPolicy ?? {
      Name: 'no',
    };
    if (policy === 'always' || policy === 'unless-stopped') return true;
    return policy === 'on-failure' && exit.exitCode !== 0 && (limit === 0 || record.restartCount < limit);
  }

  /** Starts a container again after its back-off. */
  schedule(record: ContainerRecord, exit: ExitRecord): void {
    const { id } = record;
    const steady = exit.finishedAt - exit.startedAt >= STEADY_MS;
    const delayMs = steady
      ? FIRST_BACKOFF_MS
      : Math.min(LAST_BACKOFF_MS, (this.#backoff.get(id) ?? FIRST_BACKOFF_MS / 2) * 2);
    this.#backoff.set(id, delayMs);
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      if (this.#context.records.byId(id)?.state.status !== 'restarting') return;
      this.#context.records.change(id, { restartCount: record.restartCount + 1 });
      this.#start(id).catch((error) => {
        this.#context.log.warn('a container could not be restarted', { container: id, error });
      });
    }, delayMs);
    this.#timers.set(id, timer);
  }

  /** Somebody else has decided. */
  cancel(id: string): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  /** The container is gone. */
  forget(id: string): void {
    this.cancel(id);
    this.#backoff.delete(id);
  }

  /** Starts what a restart policy wants up after the engine was started. */
  startAll(): void {
    for (const record of this.#context.records.list()) {
      const policy = record.hostConfig.RestartPolicy?.Name ?? 'no';
      const wanted = policy === 'always' || (policy === 'unless-stopped' && !record.stoppedByHand);
      const wasUp = record.state.status === 'exited' && record.state.startedAt > 0;
      if (!(wanted && wasUp) && record.state.status !== 'restarting') continue;
      if (this.#timers.has(record.id)) continue;
      this.#start(record.id).catch((error) => {
        this.#context.log.warn('a container could not be started', { container: record.name, error });
      });
    }
  }
}
