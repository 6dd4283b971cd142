/** What a container changed when the copy driver keeps it: two whole trees are compared. */
import { dirname } from 'node:path';
import { readTar, type TarEntry } from '#base/tar/index.ts';
import { splitEntryPath, whiteoutOf } from '#oci/layer/index.ts';
import type { ChangesetDir, Changesets } from '#store/changeset/types.ts';
import type { ActiveSnapshot, SnapshotStore } from '#store/snapshot/types.ts';
import type { PathChange } from './types.ts';

/** Where the changes of a writable snapshot are, and how they are read. */
export function changesetOf(
  snapshots: Pick<SnapshotStore, 'driver' | 'listDirs'>,
  active: ActiveSnapshot,
): ChangesetDir {
  if (snapshots.driver === 'overlay') return { dir: active.upperDir, kind: 'overlay' };
  const [before] = active.parent === undefined ? [] : snapshots.listDirs(active.parent);
  return { dir: active.upperDir, kind: 'plain', ...(before === undefined ? {} : { against: before }) };
}

/** As `listChanges`, from the changeset itself: what a layer would hold is what has changed. */
export async function listCopiedChanges(
  changesets: Pick<Changesets, 'streamChangeset'>,
  source: ChangesetDir,
  parts: { readonly stubs: ReadonlySet<string>; isBelow(path: string): Promise<boolean> },
): Promise<readonly PathChange[]> {
  const changes = new Map<string, PathChange>();
  for await (const entry of readTar(changesets.streamChangeset(source))) {
    const names = splitEntryPath(entry.path);
    const whiteout = whiteoutOf(names, entry.path);
    const path = `/${(whiteout.kind === 'removes' ? [...names.slice(0, -1), whiteout.name] : names).join('/')}`;
    if (path === '/' || (parts.stubs.has(path) && isStub(entry))) continue;
    if (whiteout.kind === 'removes') changes.set(path, { path, kind: 'deleted' });
    else changes.set(path, { path, kind: (await parts.isBelow(path)) ? 'modified' : 'added' });
    // A layer need not tell the directories a change lies in; Docker does.
    for (let above = dirname(path); above !== '/' && !changes.has(above); above = dirname(above))
      changes.set(above, { path: above, kind: 'modified' });
  }
  return [...changes.values()].sort((a, b) => compareNames(a.path.split('/'), b.path.split('/')));
}

function isStub(entry: TarEntry): boolean {
  return entry.type !== 'file' || entry.sizeBytes === 0;
}

/** Parents before children, siblings by name. */
function compareNames(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((name, number) => name !== b[number]);
  if (at < 0) return a.length - b.length;
  const other = b[at];
  return other === undefined || (a[at] ?? '') > other ? 1 : -1;
}
