import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  checkHealthcheck,
  freshHealth,
  type HealthPlan,
  judgeProbe,
  mergeHealthcheck,
  nextProbeMs,
  planHealth,
} from './health.ts';
import type { ContainerHealth, HealthResult } from './types.ts';

const PLAN: HealthPlan = {
  command: ['true'],
  intervalMs: 30_000,
  timeoutMs: 30_000,
  startPeriodMs: 10_000,
  startIntervalMs: 5000,
  retries: 2,
};
const STARTING: ContainerHealth = { status: 'starting', failingStreak: 0, log: [] };

function probe(start: number, exitCode: number): HealthResult {
  return { start, end: start + 1, exitCode, output: '' };
}

describe('planHealth', () => {
  it('takes Docker’s defaults for what is not set', () => {
    const plan = planHealth({ Healthcheck: { Test: ['CMD', 'a', 'b'] } });
    assert.deepEqual(plan, {
      command: ['a', 'b'],
      intervalMs: 30_000,
      timeoutMs: 30_000,
      startPeriodMs: 0,
      startIntervalMs: 5000,
      retries: 3,
    });
  });

  it('runs shell checks by the image’s shell', () => {
    assert.deepEqual(planHealth({ Healthcheck: { Test: ['CMD-SHELL', 'x y'] } })?.command, [
      '/bin/sh',
      '-c',
      'x y',
    ]);
    const own = planHealth({ Shell: ['/bin/ash', '-ec'], Healthcheck: { Test: ['CMD-SHELL', 'x'] } });
    assert.deepEqual(own?.command, ['/bin/ash', '-ec', 'x']);
  });

  it('has nothing to do without a test, with NONE and with an unknown kind', () => {
    for (const Test of [[], ['NONE'], ['CMD'], ['HTTP', 'x']])
      assert.equal(planHealth({ Healthcheck: { Test } }), undefined, Test.join(' '));
    assert.equal(planHealth({}), undefined);
    assert.equal(freshHealth({ Healthcheck: { Test: ['NONE'] } }), undefined);
  });
});

describe('mergeHealthcheck', () => {
  const image = { Test: ['CMD', 'x'], Interval: 5e9, Retries: 4 };

  it('completes the client’s field by field', () => {
    assert.deepEqual(mergeHealthcheck({ Interval: 1e9, Retries: 0 }, image), { ...image, Interval: 1e9 });
    assert.deepEqual(mergeHealthcheck({ Test: ['NONE'] }, image)?.Test, ['NONE']);
    assert.deepEqual(mergeHealthcheck({ Test: [] }, image), image);
  });

  it('takes one of them when the other is absent', () => {
    assert.equal(mergeHealthcheck(undefined, image), image);
    assert.equal(mergeHealthcheck(image, undefined), image);
    assert.equal(mergeHealthcheck(undefined, undefined), undefined);
  });
});

describe('checkHealthcheck', () => {
  const bad: readonly [object, string][] = [
    [{ Interval: 500_000 }, 'Interval in Healthcheck cannot be less than 1ms'],
    [{ Timeout: -1 }, 'Timeout in Healthcheck cannot be less than 1ms'],
    [{ StartPeriod: 1 }, 'StartPeriod in Healthcheck cannot be less than 1ms'],
    [{ StartInterval: 999_999 }, 'StartInterval in Healthcheck cannot be less than 1ms'],
    [{ Interval: '30s' }, 'Interval in Healthcheck cannot be less than 1ms'],
    [{ Retries: -1 }, 'Retries in Healthcheck cannot be negative'],
    [{ Test: 'true' }, 'invalid Healthcheck: Test must be a list of strings'],
  ];
  for (const [check, message] of bad) {
    it(`refuses ${JSON.stringify(check)}`, () => {
      assert.throws(() => checkHealthcheck(check), { code: 'invalid_argument', message });
    });
  }

  it('takes zeros and the smallest durations', () => {
    checkHealthcheck({ Test: ['CMD', 'x'], Interval: 0, Timeout: 1_000_000, Retries: 0 });
    checkHealthcheck(undefined);
  });
});

describe('judgeProbe', () => {
  const context = { plan: PLAN, startedAt: 1000 };

  it('is unhealthy after as many failures in a row as `Retries` says', () => {
    const first = judgeProbe(STARTING, probe(20_000, 1), context);
    assert.deepEqual([first.status, first.failingStreak], ['starting', 1]);
    const second = judgeProbe(first, probe(50_000, -1), context);
    assert.deepEqual([second.status, second.failingStreak], ['unhealthy', 2]);
    const third = judgeProbe(second, probe(80_000, 0), context);
    assert.deepEqual([third.status, third.failingStreak], ['healthy', 0]);
    const fourth = judgeProbe(third, probe(90_000, 2), context);
    assert.deepEqual([fourth.status, fourth.failingStreak], ['healthy', 1]);
  });

  it('does not count failures within the start period, until it was healthy once', () => {
    const early = judgeProbe(STARTING, probe(10_999, 1), context);
    assert.deepEqual([early.status, early.failingStreak, early.log.length], ['starting', 0, 1]);
    assert.equal(judgeProbe(STARTING, probe(11_000, 1), context).failingStreak, 1, 'the period is over');
    const up = judgeProbe(early, probe(2000, 0), context);
    assert.equal(judgeProbe(up, probe(3000, 1), context).failingStreak, 1, 'it was healthy before');
  });

  it('keeps the last five results', () => {
    let health = STARTING;
    for (let i = 0; i < 8; i++) health = judgeProbe(health, probe(i, 0), context);
    assert.deepEqual(
      health.log.map(({ start }) => start),
      [3, 4, 5, 6, 7],
    );
  });
});

describe('nextProbeMs', () => {
  const rows: readonly [ContainerHealth['status'], number, number, string][] = [
    ['starting', 0, 5000, 'the start interval'],
    ['starting', 7000, 3000, 'the rest of the start period'],
    ['starting', 10_000, 30_000, 'the start period is over'],
    ['healthy', 1000, 30_000, 'it was healthy once'],
    ['unhealthy', 20_000, 30_000, 'it is not starting'],
  ];
  for (const [status, elapsed, want, why] of rows) {
    it(`waits ${want} ms when ${status} after ${elapsed} ms: ${why}`, () => {
      assert.equal(nextProbeMs(status, PLAN, elapsed), want);
    });
  }

  it('gives no wait a timer cannot take', () => {
    assert.equal(nextProbeMs('healthy', { ...PLAN, intervalMs: 1e12 }, 1e9), 2 ** 31 - 1);
  });
});
