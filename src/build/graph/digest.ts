/** Names of vertices: the digest of a canonical encoding of what a vertex does and of its inputs. */
import { type Digest, digestOf } from '#oci/digest/index.ts';
import { formatPlatform, type Platform } from '#oci/platform/index.ts';
import type { Edge, Op } from './types.ts';

/**
 * The digest of a vertex. The same op on the same inputs for the same platform has the same digest, in any build; what people
 * are shown, where it is written, hidden environment and when to pull do not count.
 */
export function digestOfVertex(op: Op, inputs: readonly Edge[], platform: Platform | undefined): Digest {
  return digestOf(
    canonical({
      op: identityOf(op),
      inputs: inputs.map((edge) => [edge.vertex, edge.index]),
      platform: platform === undefined ? undefined : formatPlatform(platform),
    }),
  );
}

function identityOf(op: Op): unknown {
  if (op.kind === 'exec') return { ...op, hiddenEnv: undefined };
  if (op.kind === 'source' && op.source.kind === 'image') {
    return { ...op, source: { ...op.source, platform: formatPlatform(op.source.platform), pull: undefined } };
  }
  return op;
}

/** JSON with sorted keys and without `undefined`, so that the order in which an object was built does not count. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null);
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`);
  return `{${fields.join(',')}}`;
}
