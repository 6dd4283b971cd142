import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseFilters } from '#engine/protocol/index.ts';
import { EventBus } from './bus.ts';
import { passes } from './filter.ts';
import { encodeEvent } from './routes.ts';
import type { EngineEvent } from './types.ts';

const START: EngineEvent = {
  type: 'container',
  action: 'start',
  id: 'abcdef',
  attributes: { name: 'web', image: 'busybox:v1', tier: 'front' },
  timeNano: 1_795_508_858_624_711_117n,
};

describe('event filters', () => {
  const rows: readonly [string, boolean][] = [
    ['{}', true],
    ['{"type":["container"]}', true],
    ['{"type":["image"]}', false],
    ['{"event":["stop","start"]}', true],
    ['{"container":["abc"]}', true],
    ['{"container":{"web":true}}', true],
    ['{"container":["other"]}', false],
    ['{"image":["busybox"]}', true],
    ['{"image":["busybox:v2"]}', false],
    ['{"label":["tier=front"]}', true],
    ['{"label":["tier=back"]}', false],
    ['{"type":["container"],"event":["die"]}', false],
  ];
  for (const [text, want] of rows) {
    it(`${text} ${want ? 'passes' : 'holds back'} a container's start`, () => {
      assert.equal(passes(parseFilters(text), START), want);
    });
  }
});

describe('EventBus', () => {
  it('replays from a time, then follows, then ends at a time', async () => {
    let now = 1000n;
    const bus = new EventBus({ now: () => now });
    bus.publish({ ...START, action: 'one' });
    now = 2000n;
    bus.publish({ ...START, action: 'two' });
    const seen: string[] = [];
    const reading = (async () => {
      for await (const event of bus.subscribe({
        sinceNano: 1500n,
        untilNano: 9000n,
        signal: new AbortController().signal,
      }))
        seen.push(event.action);
    })();
    await new Promise((done) => setImmediate(done));
    now = 3000n;
    bus.publish({ ...START, action: 'three' });
    now = 9500n;
    bus.publish({ ...START, action: 'late' });
    await reading;
    assert.deepEqual(seen, ['two', 'three']);
    assert.equal(bus.listenerCount, 0);
  });

  it('gives every event a time of its own', async () => {
    const bus = new EventBus({ now: () => 5n });
    bus.publish(START);
    bus.publish(START);
    const times: bigint[] = [];
    for await (const event of bus.subscribe({
      sinceNano: 0n,
      untilNano: 5n,
      signal: new AbortController().signal,
    }))
      times.push(event.timeNano);
    assert.deepEqual(times, [5n]);
  });

  it('ends when the listener leaves', async () => {
    const bus = new EventBus();
    const abort = new AbortController();
    const reading = (async () => {
      for await (const _ of bus.subscribe({ signal: abort.signal }));
    })();
    await new Promise((done) => setImmediate(done));
    abort.abort();
    await reading;
    assert.equal(bus.listenerCount, 0);
  });
});

it('encodeEvent keeps every digit of the nanoseconds', () => {
  const text = encodeEvent(START);
  assert.match(text, /"time":1795508858,"timeNano":1795508858624711117}$/);
  assert.match(text, /^{"status":"start","id":"abcdef","from":"busybox:v1","Type":"container"/);
});
