import { createHash } from 'node:crypto';
import type { KeyComponent } from '#build/types.ts';

/** Changed when keys of older versions must not be found any more. */
const KEY_VERSION = 'slipway-key-1';

/** The cache key of an ordered list of components, 64 hex digits. */
export function keyOf(components: readonly KeyComponent[]): string {
  const hash = createHash('sha256').update(KEY_VERSION);
  for (const { name, value } of components) hash.update(`\n${JSON.stringify([name, value])}`);
  return hash.digest('hex');
}

/**
 * What differs first between an earlier key and this one, in words: `file app.py changed`, `arg VERSION is new`.
 * `undefined` when nothing does.
 */
export function describeDifference(
  before: readonly KeyComponent[],
  after: readonly KeyComponent[],
): string | undefined {
  const old = new Map(before.map(({ name, value }) => [name, value]));
  const names = new Set(after.map(({ name }) => name));
  for (const { name, value } of after) {
    const was = old.get(name);
    if (was === undefined) return `${spoken(name)} is new`;
    if (was !== value) return name === 'parent' ? PARENT_CHANGED : `${spoken(name)} changed`;
  }
  const gone = before.find(({ name }) => !names.has(name));
  if (gone !== undefined) return `${spoken(gone.name)} is gone`;
  return undefined;
}

const PARENT_CHANGED = 'an earlier step changed';

function spoken(name: string): string {
  if (name === 'cwd') return 'the working directory';
  if (name === 'parent' || name === 'from') return name === 'parent' ? 'the base' : 'the stage copied from';
  return name === 'instruction' || name === 'user' || name === 'platform' || name === 'network'
    ? `the ${name}`
    : name;
}
