import type { OpEvents, Result } from './types.ts';

/** Output a late joiner is shown again, in characters. */
const REPLAY_LIMIT = 4 * 1024 * 1024;

interface Flight<R extends Result> {
  readonly result: Promise<R>;
  readonly stop: AbortController;
  readonly listeners: Set<OpEvents>;
  readonly said: ((events: OpEvents) => void)[];
  saidLength: number;
  riders: number;
}

/**
 * Runs shared by builds that need the same result at the same time: whoever joins late is shown the output from the
 * beginning. A run is stopped when the last build that waits for it is gone, and that build waits for its cleaning up.
 */
export class Flights<R extends Result> {
  readonly #flights = new Map<string, Flight<R>>();

  async ride(
    key: string,
    run: (signal: AbortSignal, events: OpEvents) => Promise<R>,
    options: { readonly signal: AbortSignal; readonly events: OpEvents },
  ): Promise<{ readonly result: R; readonly joined: boolean }> {
    const { signal, events } = options;
    signal.throwIfAborted();
    const known = this.#flights.get(key);
    const flight = known ?? this.#start(key, run);
    flight.riders++;
    for (const say of flight.said) say(events);
    flight.listeners.add(events);
    const left = Promise.withResolvers<never>();
    const onAbort = (): void => {
      flight.riders--;
      flight.listeners.delete(events);
      if (flight.riders > 0) left.reject(signal.reason);
      else {
        this.#forget(key, flight);
        flight.stop.abort(signal.reason);
      }
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return { result: await Promise.race([flight.result, left.promise]), joined: known !== undefined };
    } finally {
      signal.removeEventListener('abort', onAbort);
      flight.listeners.delete(events);
    }
  }

  #start(key: string, run: (signal: AbortSignal, events: OpEvents) => Promise<R>): Flight<R> {
    const stop = new AbortController();
    const listeners = new Set<OpEvents>();
    const said: Flight<R>['said'] = [];
    const tell = (say: (events: OpEvents) => void, length: number): void => {
      for (const listener of listeners) say(listener);
      flight.saidLength += length;
      if (flight.saidLength <= REPLAY_LIMIT) said.push(say);
    };
    const events: OpEvents = {
      onStart: (id) => tell((listener) => listener.onStart(id), id.length),
      onOutput: (text) => tell((listener) => listener.onOutput(text), text.length),
    };
    // The run begins in a later turn: the first rider must be listening by then.
    const result = Promise.resolve().then(() => run(stop.signal, events));
    const flight: Flight<R> = { result, stop, listeners, said, saidLength: 0, riders: 0 };
    this.#flights.set(key, flight);
    const forget = (): void => this.#forget(key, flight);
    result.then(forget, forget);
    return flight;
  }

  #forget(key: string, flight: Flight<R>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}
