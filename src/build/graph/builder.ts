import assert from 'node:assert/strict';
import type { Digest } from '#oci/digest/index.ts';
import type { Platform } from '#oci/platform/index.ts';
import { digestOfVertex } from './digest.ts';
import type { Edge, Graph, Op, SourceRange, Vertex } from './types.ts';

/** What a vertex carries besides its op. */
export interface VertexDetails {
  readonly name: string;
  readonly ranges: readonly SourceRange[];
  readonly ignoreCache: boolean;
  readonly platform?: Platform;
}

/** Collects vertices; the same op on the same inputs becomes one vertex. Inputs must be added before what uses them. */
export class GraphBuilder {
  readonly #vertices = new Map<Digest, Vertex>();

  /** Adds a vertex and returns its first output. A vertex that is there already gets the further source lines. */
  add(op: Op, inputs: readonly Edge[], details: VertexDetails): Edge {
    for (const edge of inputs)
      assert(this.#vertices.has(edge.vertex), `input ${edge.vertex} is not in the graph`);
    const digest = digestOfVertex(op, inputs, details.platform);
    const earlier = this.#vertices.get(digest);
    const vertex: Vertex =
      earlier === undefined
        ? { digest, op, inputs, ...details }
        : {
            ...earlier,
            ranges: [...earlier.ranges, ...details.ranges],
            ignoreCache: earlier.ignoreCache || details.ignoreCache,
          };
    this.#vertices.set(digest, vertex);
    return { vertex: digest, index: 0 };
  }

  /** The graph as it is now, frozen all the way down; inputs come before what uses them. */
  freeze(): Graph {
    const vertices = new Map([...this.#vertices].map(([digest, vertex]) => [digest, deepFreeze(vertex)]));
    return Object.freeze({ vertices });
  }
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const field of Object.values(value)) deepFreeze(field);
  }
  return value;
}
