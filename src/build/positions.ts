import { createHash } from 'node:crypto';
import type { BuildPlan } from '#build/frontend/types.ts';
import type { Vertex } from '#build/graph/types.ts';
import type { Digest } from '#oci/digest/index.ts';

/**
 * Names under which earlier records of a plan's steps are looked for, best first: the same instruction after the same
 * instructions; the same instruction in this stage of this project; whatever was at this place before. `lineage` says which
 * builds belong together.
 */
export function positionsOfPlan(plan: BuildPlan, lineage: string): (vertex: Vertex) => readonly string[] {
  const positions = new Map<Digest, readonly string[]>();
  for (const stage of plan.stages) {
    const stageName = stage.name ?? String(stage.index);
    let chain = hashOf('chain', stage.base.kind === 'image' ? stage.base.reference : stage.base.kind);
    for (const [i, step] of stage.steps.entries()) {
      if (step.keyword === 'FROM') continue;
      chain = hashOf('chain', chain, step.text);
      if (step.vertex === undefined || positions.has(step.vertex)) continue;
      positions.set(step.vertex, [
        chain,
        hashOf('text', lineage, stageName, step.text),
        hashOf('place', lineage, stageName, String(i), step.keyword),
      ]);
    }
  }
  return (vertex) => positions.get(vertex.digest) ?? [];
}

function hashOf(...values: readonly string[]): string {
  const hash = createHash('sha256');
  for (const value of values) hash.update(`${value.length}:${value}`);
  return hash.digest('hex').slice(0, 40);
}
