import { CodedError } from '#base/errors/index.ts';
import type { EngineEvent, EventPublisher, NewEvent, PruneType } from './types.ts';

const REPLAY_LIMIT = 1024;
const QUEUE_LIMIT = 4096;

/** Tells that a prune has ended, and what it gave back; each thing it removed has told its own end before. */
export function publishPrune(events: EventPublisher, type: PruneType, reclaimedBytes: number): void {
  events.publish({ type, action: 'prune', id: '', attributes: { reclaimed: String(reclaimedBytes) } });
}

/** Options of `EventBus`; `now` is Unix time in nanoseconds. */
export interface EventBusOptions {
  readonly now?: () => bigint;
}

/** Sends events to everyone who listens, and keeps the latest for those who come later. Publishing never waits. */
export class EventBus implements EventPublisher {
  readonly #recent: EngineEvent[] = [];
  readonly #listeners = new Set<(event: EngineEvent) => void>();
  readonly #now: () => bigint;
  #last = 0n;

  constructor(options: EventBusOptions = {}) {
    this.#now = options.now ?? clock();
  }

  publish(event: NewEvent): void {
    const now = this.#now();
    // Two events never share a time: clients use the time of the last one they saw to go on.
    this.#last = now > this.#last ? now : this.#last + 1n;
    const whole: EngineEvent = { ...event, attributes: { ...event.attributes }, timeNano: this.#last };
    this.#recent.push(whole);
    if (this.#recent.length > REPLAY_LIMIT) this.#recent.shift();
    for (const listener of this.#listeners) listener(whole);
  }

  /** Number of listeners now. */
  get listenerCount(): number {
    return this.#listeners.size;
  }

  /**
   * Kept events from `sinceNano` (absent: none), then new ones as they come, until `signal` aborts or an event is later
   * than `untilNano`. A consumer that falls too far behind gets an error instead of a gap.
   */
  async *subscribe(options: {
    readonly sinceNano?: bigint;
    readonly untilNano?: bigint;
    readonly signal: AbortSignal;
  }): AsyncGenerator<EngineEvent> {
    const { sinceNano, untilNano, signal } = options;
    const queue = sinceNano === undefined ? [] : this.#recent.filter((event) => event.timeNano >= sinceNano);
    let wake: (() => void) | undefined;
    let lost = false;
    const listener = (event: EngineEvent): void => {
      if (queue.length >= QUEUE_LIMIT) lost = true;
      else queue.push(event);
      wake?.();
    };
    const stop = (): void => wake?.();
    this.#listeners.add(listener);
    signal.addEventListener('abort', stop);
    const timer =
      untilNano === undefined
        ? undefined
        : setTimeout(stop, Math.max(0, millisUntil(untilNano, this.#now())));
    try {
      while (!signal.aborted) {
        const event = queue.shift();
        if (event !== undefined) {
          if (untilNano !== undefined && event.timeNano > untilNano) return;
          yield event;
          continue;
        }
        if (lost) throw new CodedError('resource_exhausted', 'events were lost: they are read too slowly');
        if (untilNano !== undefined && this.#now() >= untilNano) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
      }
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(listener);
      signal.removeEventListener('abort', stop);
    }
  }
}

/** The longest delay `setTimeout` takes; a later end is looked at again by the loop. */
const TIMER_LIMIT_MS = 2_147_483_647;

function millisUntil(untilNano: bigint, now: bigint): number {
  const millis = (untilNano - now) / 1_000_000n + 1n;
  return millis > BigInt(TIMER_LIMIT_MS) ? TIMER_LIMIT_MS : Number(millis);
}

/** Wall clock (so that it follows when the clock is set), with digits below the millisecond from the monotonic one. */
function clock(): () => bigint {
  return () => BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
}
