/** Bounded concurrency, single flight, retry with back-off, sleeping: all of them end at once when their signal aborts. */
import { setTimeout as delay } from 'node:timers/promises';

/** Resolves after `milliseconds`; rejects with `signal.reason` when aborted. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  try {
    await delay(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/**
 * Runs `work` on every item, at most `concurrency` at once, and gives the results in the order of the items.
 * After the first failure nothing new is started; the call rejects with it once the work under way has ended.
 * `work` gets a signal that aborts on that failure and with `options.signal`.
 */
export async function mapConcurrently<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  options: { readonly concurrency: number; readonly signal?: AbortSignal },
  work: (item: Item, index: number, signal: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const results: Result[] = [];
  const running = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    stop.abort(failure.error);
  };
  let index = 0;
  try {
    for await (const item of items) {
      signal.throwIfAborted();
      const at = index++;
      const task: Promise<void> = work(item, at, signal)
        .then((result) => {
          results[at] = result;
        }, fail)
        .finally(() => running.delete(task));
      running.add(task);
      if (running.size >= Math.max(1, options.concurrency)) await Promise.race(running);
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure.error;
  return results;
}

/**
 * Joins concurrent calls for one key into one run: callers that come while it runs share its result or failure.
 * A run sees an abort only when every caller waiting for it has gone.
 */
export class SingleFlight<Key, Result> {
  readonly #flights = new Map<Key, Flight<Result>>();

  /** Result of the run under way for `key`, or of a new one. */
  async run(key: Key, work: (signal: AbortSignal) => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      flight = this.#start(key, work);
    }
    flight.waiting++;
    try {
      return await raceSignal(flight.result, signal);
    } finally {
      flight.waiting--;
      if (flight.waiting === 0 && this.#flights.get(key) === flight) {
        this.#flights.delete(key);
        flight.stop.abort(signal?.reason);
      }
    }
  }

  #start(key: Key, work: (signal: AbortSignal) => Promise<Result>): Flight<Result> {
    const stop = new AbortController();
    const result = (async () => work(stop.signal))();
    const flight = { result, stop, waiting: 0 };
    this.#flights.set(key, flight);
    const forget = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    result.then(forget, forget);
    return flight;
  }
}

interface Flight<Result> {
  readonly result: Promise<Result>;
  readonly stop: AbortController;
  waiting: number;
}

/** Settles with `promise`, or rejects with `signal.reason` if that comes first; `promise` itself goes on. */
export async function raceSignal<Result>(promise: Promise<Result>, signal?: AbortSignal): Promise<Result> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** How `retry` waits: full jitter below `baseMs · 2^attempt`, at most `maxMs`. */
export interface RetryOptions {
  /** Tries in all, the first included. */
  readonly attempts: number;
  readonly baseMs?: number;
  readonly maxMs?: number;
  readonly signal?: AbortSignal;
  /** Whether to try again after `error`; a number is the wait in milliseconds a server asked for. */
  readonly shouldRetry: (error: unknown, attempt: number) => boolean | number;
  /** Told before each wait. */
  readonly onRetry?: (error: unknown, attempt: number, waitMs: number) => void;
  /** 0..1; an argument so that tests are exact. */
  readonly random?: () => number;
}

/** Runs `work` until it succeeds, `shouldRetry` says no, the tries are used up, or the signal aborts. */
export async function retry<Result>(
  options: RetryOptions,
  work: (attempt: number) => Promise<Result>,
): Promise<Result> {
  const { attempts, baseMs = 200, maxMs = 10_000, signal, random = Math.random } = options;
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      signal?.throwIfAborted();
      if (attempt >= attempts) throw error;
      const answer = options.shouldRetry(error, attempt);
      if (answer === false) throw error;
      const bound = Math.min(maxMs, baseMs * 2 ** (attempt - 1));
      const waitMs = typeof answer === 'number' ? answer : bound * (0.5 + random() / 2);
      options.onRetry?.(error, attempt, waitMs);
      await sleep(waitMs, signal);
    }
  }
}

/** Lets at most `size` holders in at once, first come first served. */
export class Semaphore {
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(size: number) {
    this.#free = size;
  }

  /** Runs `work` when there is room; rejects with `signal.reason` if aborted while waiting. */
  async run<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    await this.#enter(signal);
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push(resolve);
    const onAbort = () => {
      const at = this.#queue.indexOf(resolve);
      if (at === -1) return;
      this.#queue.splice(at, 1);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }
}
