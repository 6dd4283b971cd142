import type { Vertex } from '#build/graph/types.ts';
import type { KeyComponent } from '#build/types.ts';

/** What a vertex yields. `id` stands for its content in the keys of vertices that use it. */
export interface Result {
  readonly id: string;
}

/** A stored result that can be used again. */
export interface CacheHit<R extends Result> {
  readonly result: R;
  /** Marks the record as used, when the build ends. */
  readonly key: string;
}

/** What a running op may say. */
export interface OpEvents {
  /** The process of a step has an id; said once, before its output. */
  readonly onStart: (id: string) => void;
  readonly onOutput: (text: string) => void;
}

/** Everything about one call of an op. `Job` is what the caller of `solve` wants its ops to know. */
export interface OpCall<R extends Result, Job> {
  readonly vertex: Vertex;
  readonly inputs: readonly R[];
  readonly job: Job;
  readonly signal: AbortSignal;
}

/** How one kind of op is keyed and run. The solver knows no op by name: it has one driver a kind. */
export interface OpDriver<R extends Result, Job> {
  /**
   * Sets of components that each identify the result, cheapest first; later ones are asked for only when earlier ones
   * are not found. None: the op is never taken from the cache (sources). The last one is the key of a new result.
   */
  keys(call: OpCall<R, Job>): AsyncIterable<readonly KeyComponent[]>;
  /** Several builds may share one run: it uses nothing that belongs to the job. */
  readonly isShareable: boolean;
  /** Waits for a network rather than works: it takes none of the places for running ops. */
  readonly isWaiting: boolean;
  run(call: OpCall<R, Job>, key: string, events: OpEvents): Promise<R>;
}

/** Where results are kept between builds. */
export interface ResultCache<R extends Result, Job> {
  find(key: string, call: OpCall<R, Job>): Promise<R | undefined>;
  /** `aliases` are the other keys that identify the same result. */
  store(
    entry: {
      readonly key: string;
      readonly aliases: readonly string[];
      readonly components: readonly KeyComponent[];
      readonly result: R;
      readonly durationMs: number;
    },
    call: OpCall<R, Job>,
  ): void;
  /** Another place a result may come from, such as an image named by `--cache-from`. */
  adopt?(key: string, call: OpCall<R, Job>): Promise<R | undefined>;
  /** Why there was no hit: the nearest earlier record and the first component that differs. */
  explain(key: string, components: readonly KeyComponent[], call: OpCall<R, Job>): string | undefined;
}

/** How a vertex was solved. */
export interface Solved<R extends Result> {
  readonly result: R;
  readonly cached: boolean;
  readonly key: string | undefined;
  readonly components: readonly KeyComponent[];
  readonly missReason: string | undefined;
  readonly startedAt: number;
  readonly endedAt: number;
}

/** What a solve tells about its vertices while it runs. */
export interface SolveListener<R extends Result> {
  /** It has its result, which the build must claim now. */
  readonly onResult?: (vertex: Vertex, result: R) => void;
  /** It will run: the cache has nothing. */
  readonly onMiss?: (vertex: Vertex, reason: string | undefined) => void;
  readonly onStart?: (vertex: Vertex, id: string) => void;
  readonly onOutput?: (vertex: Vertex, text: string) => void;
  /** How the vertex came to its key, also when it fails afterwards. */
  readonly onKey?: (vertex: Vertex, key: string, components: readonly KeyComponent[]) => void;
}
