import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapConcurrently, retry, Semaphore, SingleFlight, sleep } from './index.ts';

describe('base/async', () => {
  it('maps in order with no more than the allowed number at once', async () => {
    let now = 0;
    let most = 0;
    const results = await mapConcurrently([30, 5, 20, 1, 10], { concurrency: 2 }, async (ms) => {
      most = Math.max(most, ++now);
      await sleep(ms);
      now--;
      return ms * 2;
    });
    assert.deepEqual(results, [60, 10, 40, 2, 20]);
    assert.equal(most, 2);
  });

  it('starts nothing after a failure and aborts what runs', async () => {
    const started: number[] = [];
    const aborted: number[] = [];
    const run = mapConcurrently([0, 1, 2, 3], { concurrency: 2 }, async (item, _, signal) => {
      started.push(item);
      if (item === 0) await sleep(5).then(() => Promise.reject(new Error('first')));
      await sleep(5000, signal).catch(() => aborted.push(item));
    });
    await assert.rejects(run, /first/);
    assert.deepEqual(aborted, [1]);
    assert.deepEqual(started, [0, 1]);
  });

  it('shares one run among callers and aborts it when all have gone', async () => {
    const flights = new SingleFlight<string, number>();
    let runs = 0;
    let seen: AbortSignal | undefined;
    const work = async (signal: AbortSignal) => {
      seen = signal;
      runs++;
      await sleep(20);
      return runs;
    };
    const leaver = new AbortController();
    const [left, stayed] = [flights.run('a', work, leaver.signal), flights.run('a', work)];
    leaver.abort(new Error('gone'));
    await assert.rejects(left, /gone/);
    assert.equal(seen?.aborted, false);
    assert.equal(await stayed, 1);
    assert.equal(await flights.run('a', work), 2);
    const last = new AbortController();
    const run = flights.run('a', work, last.signal);
    last.abort();
    await assert.rejects(run, { name: 'AbortError' });
    assert.equal(seen?.aborted, true);
  });

  it('retries with growing waits while the error allows it', async () => {
    const waits: number[] = [];
    const result = await retry(
      {
        attempts: 4,
        baseMs: 2,
        random: () => 1,
        shouldRetry: () => true,
        onRetry: (_, __, ms) => waits.push(ms),
      },
      async (attempt) => {
        if (attempt < 4) throw new Error('again');
        return attempt;
      },
    );
    assert.equal(result, 4);
    assert.deepEqual(waits, [2, 4, 8]);
    await assert.rejects(
      retry({ attempts: 9, shouldRetry: () => false }, async () => {
        throw new Error('final');
      }),
      /final/,
    );
  });

  it('stops waiting between tries when aborted', async () => {
    const stop = new AbortController();
    const run = retry(
      { attempts: 9, baseMs: 60_000, maxMs: 60_000, signal: stop.signal, shouldRetry: () => true },
      async () => {
        throw new Error('x');
      },
    );
    setTimeout(() => stop.abort(new Error('enough')), 10);
    await assert.rejects(run, /enough/);
  });

  it('lets holders of a semaphore in one after another, and out of the queue on abort', async () => {
    const one = new Semaphore(1);
    const order: string[] = [];
    const stop = new AbortController();
    const first = one.run(async () => {
      await sleep(10);
      order.push('first');
    });
    const given = one.run(async () => order.push('never'), stop.signal);
    const last = one.run(async () => order.push('last'));
    stop.abort(new Error('left'));
    await assert.rejects(given, /left/);
    await Promise.all([first, last]);
    assert.deepEqual(order, ['first', 'last']);
  });
});
