import { CodedError } from '#base/errors/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { Graph, Vertex } from './types.ts';

/**
 * The vertices that `roots` need, inputs first, in the order of the graph. Iterative: the depth of a graph from outside is not
 * ours to choose.
 * @throws {CodedError} `invalid_argument` when an input is missing or comes after what uses it (so there is no cycle).
 */
export function orderVertices(graph: Graph, roots: readonly Digest[]): readonly Vertex[] {
  const needed = new Set<Digest>();
  const pending = [...roots];
  for (let digest = pending.pop(); digest !== undefined; digest = pending.pop()) {
    if (needed.has(digest)) continue;
    needed.add(digest);
    const vertex = graph.vertices.get(digest);
    if (vertex === undefined)
      throw new CodedError('invalid_argument', `vertex ${digest} is not in the graph`);
    for (const edge of vertex.inputs) pending.push(edge.vertex);
  }
  const done = new Set<Digest>();
  const ordered: Vertex[] = [];
  for (const vertex of graph.vertices.values()) {
    if (!needed.has(vertex.digest)) continue;
    const late = vertex.inputs.find((edge) => !done.has(edge.vertex));
    if (late !== undefined) {
      throw new CodedError(
        'invalid_argument',
        `vertex ${vertex.digest} comes before its input ${late.vertex}`,
      );
    }
    done.add(vertex.digest);
    ordered.push(vertex);
  }
  return ordered;
}
