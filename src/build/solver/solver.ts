import { Semaphore } from '#base/async/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { Graph, Op } from '#build/graph/types.ts';
import type { KeyComponent } from '#build/types.ts';
import type { Digest } from '#oci/digest/index.ts';
import { Flights } from './flights.ts';
import { keyOf } from './key.ts';
import type { OpCall, OpDriver, OpEvents, Result, ResultCache, Solved, SolveListener } from './types.ts';

/** Drivers by kind of op. */
export type OpDrivers<R extends Result, Job> = { readonly [Kind in Op['kind']]: OpDriver<R, Job> };

/** Options of `createSolver`. */
export interface SolverOptions<R extends Result, Job> {
  readonly drivers: OpDrivers<R, Job>;
  readonly cache: ResultCache<R, Job>;
  /** Ops that may run at once, over all builds. */
  readonly parallelism: number;
}

/** One build's view of the solver. */
export interface Solve<R extends Result> {
  /** Solves a vertex and what it needs; each vertex once, however often it is asked for. */
  solve(digest: Digest): Promise<Solved<R>>;
  /** Resolves when nothing of this build runs any more; never rejects. */
  settled(): Promise<void>;
}

/** One solver serves all builds of the daemon. */
export interface Solver<R extends Result, Job> {
  begin(
    graph: Graph,
    options: { readonly job: Job; readonly signal: AbortSignal; readonly listener?: SolveListener<R> },
  ): Solve<R>;
}

/**
 * Makes the solver: vertices whose inputs are ready run side by side up to `parallelism`; equal vertices of running builds
 * share one run; a result is looked for under each of its keys before anything runs.
 */
export function createSolver<R extends Result, Job>(options: SolverOptions<R, Job>): Solver<R, Job> {
  const flights = new Flights<R>();
  const running = new Semaphore(options.parallelism);
  return {
    begin: (graph, { job, signal, listener = {} }) =>
      new BuildSolve({ ...options, flights, running, graph, job, signal, listener }),
  };
}

interface Context<R extends Result, Job> extends SolverOptions<R, Job> {
  readonly flights: Flights<R>;
  readonly running: Semaphore;
  readonly graph: Graph;
  readonly job: Job;
  readonly signal: AbortSignal;
  readonly listener: SolveListener<R>;
}

class BuildSolve<R extends Result, Job> implements Solve<R> {
  readonly #context: Context<R, Job>;
  readonly #solved = new Map<Digest, Promise<Solved<R>>>();

  constructor(context: Context<R, Job>) {
    this.#context = context;
  }

  solve(digest: Digest): Promise<Solved<R>> {
    let solved = this.#solved.get(digest);
    if (solved === undefined) {
      solved = this.#solveVertex(digest);
      solved.catch(() => undefined); // whoever needs it awaits it; others must not see an unhandled rejection
      this.#solved.set(digest, solved);
    }
    return solved;
  }

  async settled(): Promise<void> {
    let count = -1;
    while (count !== this.#solved.size) {
      count = this.#solved.size;
      await Promise.allSettled(this.#solved.values());
    }
  }

  async #solveVertex(digest: Digest): Promise<Solved<R>> {
    // A turn of its own: a deep graph must not become deep recursion.
    await null;
    const { graph, signal, job, drivers } = this.#context;
    const vertex = graph.vertices.get(digest);
    if (vertex === undefined) throw new CodedError('internal', `vertex ${digest} is not in the graph`);
    const solvedInputs = await Promise.all(vertex.inputs.map((edge) => this.solve(edge.vertex)));
    signal.throwIfAborted();
    const call = { vertex, inputs: solvedInputs.map(({ result }) => result), job, signal };
    return this.#solveCall(call, drivers[vertex.op.kind]);
  }

  async #solveCall(call: OpCall<R, Job>, driver: OpDriver<R, Job>): Promise<Solved<R>> {
    const { vertex } = call;
    const startedAt = Date.now();
    const tried: { readonly key: string; readonly components: readonly KeyComponent[] }[] = [];
    for await (const components of driver.keys(call)) {
      call.signal.throwIfAborted();
      const key = keyOf(components);
      tried.push({ key, components });
      this.#context.listener.onKey?.(vertex, key, components);
      const found = vertex.ignoreCache ? undefined : await this.#find(key, call);
      if (found === undefined) continue;
      this.#context.listener.onResult?.(vertex, found);
      return {
        result: found,
        cached: true,
        key,
        components,
        missReason: undefined,
        startedAt,
        endedAt: Date.now(),
      };
    }
    const last = tried.at(-1);
    const missReason = last === undefined ? undefined : this.#explain(last.key, last.components, call);
    this.#context.listener.onMiss?.(vertex, missReason);
    const result = await this.#run(call, driver, tried);
    this.#context.listener.onResult?.(vertex, result);
    return {
      result,
      cached: false,
      key: last?.key,
      components: last?.components ?? [],
      missReason,
      startedAt,
      endedAt: Date.now(),
    };
  }

  async #find(key: string, call: OpCall<R, Job>): Promise<R | undefined> {
    const { cache } = this.#context;
    return (await cache.find(key, call)) ?? (await cache.adopt?.(key, call));
  }

  #explain(key: string, components: readonly KeyComponent[], call: OpCall<R, Job>): string | undefined {
    return call.vertex.ignoreCache
      ? 'the cache is switched off'
      : this.#context.cache.explain(key, components, call);
  }

  async #run(
    call: OpCall<R, Job>,
    driver: OpDriver<R, Job>,
    tried: readonly { readonly key: string; readonly components: readonly KeyComponent[] }[],
  ): Promise<R> {
    const { listener, cache, flights, running } = this.#context;
    const last = tried.at(-1);
    const events: OpEvents = {
      onStart: (id) => listener.onStart?.(call.vertex, id),
      onOutput: (text) => listener.onOutput?.(call.vertex, text),
    };
    const runAndStore = async (signal: AbortSignal, told: OpEvents): Promise<R> => {
      const work = async (): Promise<R> => {
        const startedAt = performance.now();
        const result = await driver.run({ ...call, signal }, last?.key ?? '', told);
        if (last === undefined) return result;
        const aliases = tried.slice(0, -1).map(({ key }) => key);
        cache.store({ ...last, aliases, result, durationMs: performance.now() - startedAt }, call);
        return result;
      };
      return driver.isWaiting ? work() : running.run(work, signal);
    };
    // A build without cache wants a run of its own.
    if (last === undefined || !driver.isShareable || call.vertex.ignoreCache)
      return runAndStore(call.signal, events);
    return (await flights.ride(last.key, runAndStore, { signal: call.signal, events })).result;
  }
}
