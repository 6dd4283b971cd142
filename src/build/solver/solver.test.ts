import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { GraphBuilder } from '#build/graph/index.ts';
import type { Edge, ExecOp, Graph, Vertex } from '#build/graph/types.ts';
import type { KeyComponent } from '#build/types.ts';
import { createSolver, describeDifference, type Solver } from './index.ts';
import type { OpDriver, Result, ResultCache } from './types.ts';

interface Run {
  readonly name: string;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

interface Bench {
  readonly solver: Solver<Result, string>;
  /** Names of the ops that ran, in the order they began. */
  readonly ran: string[];
  readonly stored: Map<string, { readonly result: Result; readonly components: readonly KeyComponent[] }>;
  /** What an op does; does nothing by default. */
  work: (run: Run) => Promise<void>;
}

function makeBench(options: { readonly parallelism?: number; readonly isShareable?: boolean } = {}): Bench {
  const ran: string[] = [];
  const stored: Bench['stored'] = new Map();
  const driver: OpDriver<Result, string> = {
    isShareable: options.isShareable ?? true,
    isWaiting: false,
    async *keys({ vertex, inputs }) {
      const op = vertex.op as ExecOp;
      yield [
        { name: 'instruction', value: op.args.join(' ') },
        ...inputs.map((input, i) => ({ name: `input ${i}`, value: input.id })),
      ];
    },
    async run({ vertex, signal }, _key, events) {
      const name = (vertex.op as ExecOp).args.join(' ');
      ran.push(name);
      events.onStart(name);
      await bench.work({ name, signal, say: events.onOutput });
      return { id: `${name}#${ran.length}` };
    },
  };
  const cache: ResultCache<Result, string> = {
    find: async (key) => stored.get(key)?.result,
    store: ({ key, result, components }) => void stored.set(key, { result, components }),
    explain: () => 'something changed',
  };
  const bench: Bench = {
    ran,
    stored,
    work: async () => undefined,
    solver: createSolver({
      drivers: { exec: driver, file: driver, source: driver },
      cache,
      parallelism: options.parallelism ?? 4,
    }),
  };
  return bench;
}

class Plan {
  readonly graph = new GraphBuilder();

  exec(name: string, inputs: readonly Edge[] = [], ignoreCache = false): Edge {
    const op: ExecOp = {
      kind: 'exec',
      args: [name],
      env: [],
      cwd: '/',
      user: '',
      network: 'none',
      security: 'sandbox',
    };
    return this.graph.add(op, inputs, { name, ranges: [], ignoreCache });
  }

  freeze(): Graph {
    return this.graph.freeze();
  }
}

const never = (): AbortSignal => new AbortController().signal;

test('what a vertex needs runs before it, each vertex once', async () => {
  const bench = makeBench();
  const plan = new Plan();
  const base = plan.exec('base');
  const top = plan.exec('top', [plan.exec('left', [base]), plan.exec('right', [base])]);
  const solve = bench.solver.begin(plan.freeze(), { job: 'j', signal: never() });
  await Promise.all([solve.solve(top.vertex), solve.solve(top.vertex), solve.solve(base.vertex)]);
  assert.deepEqual(
    [bench.ran[0], bench.ran.slice(1, 3).toSorted(), bench.ran[3]],
    ['base', ['left', 'right'], 'top'],
  );
});

test('independent vertices run side by side, no more than allowed', async () => {
  const bench = makeBench({ parallelism: 2 });
  let [running, most] = [0, 0];
  bench.work = async () => {
    most = Math.max(most, ++running);
    await delay(20);
    running--;
  };
  const plan = new Plan();
  const top = plan.exec(
    'top',
    ['a', 'b', 'c', 'd', 'e'].map((name) => plan.exec(name)),
  );
  await bench.solver.begin(plan.freeze(), { job: 'j', signal: never() }).solve(top.vertex);
  assert.equal(most, 2);
});

test('a second build takes results from the cache, a changed input misses from there on', async () => {
  const bench = makeBench();
  const build = async (middle: string): Promise<readonly boolean[]> => {
    const plan = new Plan();
    const edges: Edge[] = [];
    for (const name of ['base', middle, 'top']) edges.push(plan.exec(name, edges.slice(-1)));
    const solve = bench.solver.begin(plan.freeze(), { job: 'j', signal: never() });
    return Promise.all(edges.map(async (edge) => (await solve.solve(edge.vertex)).cached));
  };
  assert.deepEqual(await build('one'), [false, false, false]);
  assert.deepEqual(await build('one'), [true, true, true]);
  assert.deepEqual(await build('two'), [true, false, false]);
});

test('a vertex that must not be cached runs, and what depends on its result follows', async () => {
  const bench = makeBench();
  const build = async (
    ignoreCache: boolean,
  ): Promise<readonly (readonly [boolean, string | undefined])[]> => {
    const plan = new Plan();
    const base = plan.exec('base', [], ignoreCache);
    const top = plan.exec('top', [base]);
    const solve = bench.solver.begin(plan.freeze(), { job: 'j', signal: never() });
    return Promise.all(
      [base, top].map(async (edge) => {
        const { cached, missReason } = await solve.solve(edge.vertex);
        return [cached, missReason] as const;
      }),
    );
  };
  await build(false);
  assert.deepEqual(await build(true), [
    [false, 'the cache is switched off'],
    [false, 'something changed'],
  ]);
});

test('builds that need the same at once share one run, and the later one sees its output from the beginning', async () => {
  const bench = makeBench();
  const go = Promise.withResolvers<void>();
  bench.work = async ({ say }) => {
    say('first ');
    await go.promise;
    say('second');
  };
  const outputs = ['', ''];
  const starts: string[] = [];
  const begin = (i: number): Promise<unknown> => {
    const plan = new Plan();
    const edge = plan.exec('shared');
    const listener = {
      onStart: (_: Vertex, id: string) => void starts.push(id),
      onOutput: (_: Vertex, text: string) => {
        outputs[i] += text;
      },
    };
    return bench.solver.begin(plan.freeze(), { job: `j${i}`, signal: never(), listener }).solve(edge.vertex);
  };
  const first = begin(0);
  await delay(10);
  const second = begin(1);
  await delay(10);
  go.resolve();
  await Promise.all([first, second]);
  assert.deepEqual(bench.ran, ['shared']);
  assert.deepEqual(outputs, ['first second', 'first second']);
  assert.deepEqual(starts, ['shared', 'shared']);
});

test('a shared run goes on when the build that began it is cancelled, and ends with the last one', async () => {
  const bench = makeBench();
  const ended: unknown[] = [];
  bench.work = async ({ signal }) => {
    await delay(10_000, undefined, { signal }).catch(() => undefined);
    await delay(20); // cleaning up takes time
    ended.push(signal.reason);
    signal.throwIfAborted();
  };
  const begin = (): { stop: AbortController; done: Promise<unknown>; settled: () => Promise<void> } => {
    const stop = new AbortController();
    const plan = new Plan();
    const edge = plan.exec('shared');
    const solve = bench.solver.begin(plan.freeze(), { job: 'j', signal: stop.signal });
    return { stop, done: solve.solve(edge.vertex), settled: () => solve.settled() };
  };
  const [first, second] = [begin(), begin()];
  await delay(10);
  first.stop.abort('first is gone');
  await assert.rejects(first.done, (error) => error === 'first is gone');
  assert.deepEqual(ended, []);
  second.stop.abort('second is gone');
  await second.settled();
  assert.deepEqual(ended, ['second is gone']);
  await assert.rejects(second.done, (error) => error === 'second is gone');
});

test('builds without cache do not share', async () => {
  const bench = makeBench();
  bench.work = () => delay(20);
  const begin = (): Promise<unknown> => {
    const plan = new Plan();
    const edge = plan.exec('own', [], true);
    return bench.solver.begin(plan.freeze(), { job: 'j', signal: never() }).solve(edge.vertex);
  };
  await Promise.all([begin(), begin()]);
  assert.deepEqual(bench.ran, ['own', 'own']);
});

test('a failure reaches everything that depends on it, and nothing else', async () => {
  const bench = makeBench();
  bench.work = async ({ name }) => {
    if (name === 'bad') throw new Error('it broke');
  };
  const plan = new Plan();
  const [bad, good] = [plan.exec('bad'), plan.exec('good')];
  const top = plan.exec('top', [bad, good]);
  const solve = bench.solver.begin(plan.freeze(), { job: 'j', signal: never() });
  await assert.rejects(solve.solve(top.vertex), { message: 'it broke' });
  assert.equal((await solve.solve(good.vertex)).cached, false);
  assert.ok(!bench.ran.includes('top'));
});

test('a chain of twenty thousand vertices is solved', async () => {
  const bench = makeBench();
  const plan = new Plan();
  let edge = plan.exec('0');
  for (let i = 1; i < 20_000; i++) edge = plan.exec(String(i), [edge]);
  await bench.solver.begin(plan.freeze(), { job: 'j', signal: never() }).solve(edge.vertex);
  assert.equal(bench.ran.length, 20_000);
});

test('the first difference of two keys is told in words', () => {
  const parts = (...entries: readonly (readonly [string, string])[]): KeyComponent[] =>
    entries.map(([name, value]) => ({ name, value }));
  const before = parts(
    ['instruction', 'a'],
    ['parent', 'p'],
    ['env V', '1'],
    ['file app.py', 'x'],
    ['file old', 'o'],
  );
  const rows: readonly (readonly [readonly KeyComponent[], string | undefined])[] = [
    [before, undefined],
    [before.with(0, { name: 'instruction', value: 'b' }), 'the instruction changed'],
    [before.with(1, { name: 'parent', value: 'q' }), 'an earlier step changed'],
    [before.with(2, { name: 'env V', value: '2' }), 'env V changed'],
    [before.with(3, { name: 'file app.py', value: 'y' }), 'file app.py changed'],
    [[...before, { name: 'file new', value: 'n' }], 'file new is new'],
    [before.slice(0, -1), 'file old is gone'],
  ];
  for (const [after, words] of rows) assert.equal(describeDifference(before, after), words);
});
