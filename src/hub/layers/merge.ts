import { CodedError } from '#base/errors/index.ts';
import type { LayerEntry } from './entries.ts';
import { findNode, impliedFolder, namesOf, nodeOf, type TreeNode, walk } from './node.ts';

/** Files of one layer that a later one took away, under the path where that happened. */
export interface Removed {
  readonly path: string;
  /** Place of the layer whose bytes they are. */
  readonly layer: number;
  readonly sizeBytes: number;
  readonly files: number;
  readonly kind: 'deleted' | 'replaced' | 'rewritten';
  readonly by: number;
}

/** Most names all trees of one image may have. */
export const NODE_LIMIT = 1_000_000;

/** Lays layers over one another, as a container sees them, and notes what each takes away from those below. */
export class LayerMerge {
  readonly root: TreeNode = impliedFolder('', 0);
  readonly removed: Removed[] = [];
  #nodes = 0;

  /** @throws {CodedError} `resource_exhausted` when there are too many names. */
  add(entries: readonly LayerEntry[], layer: number): void {
    // What a layer removes is always below it, wherever in the archive it says so.
    for (const entry of entries) {
      if (entry.type === 'w') this.#delete(entry.path, layer);
      else if (entry.type === 'o') this.#empty(entry.path, layer);
    }
    for (const entry of entries) if (entry.type !== 'w' && entry.type !== 'o') this.put(entry, layer);
  }

  #delete(path: string, layer: number): void {
    const names = namesOf(path);
    const name = names.pop();
    const folder = findNode(this.root, names);
    const node = name === undefined ? undefined : folder?.children?.get(name);
    if (node === undefined || name === undefined) return;
    folder?.children?.delete(name);
    this.#note(path, node, 'deleted', layer);
  }

  #empty(path: string, layer: number): void {
    const folder = findNode(this.root, namesOf(path))?.children;
    for (const [name, node] of folder ?? []) {
      folder?.delete(name);
      this.#note(path === '' ? name : `${path}/${name}`, node, 'deleted', layer);
    }
  }

  /** Adds one entry, over what is there. */
  put(entry: LayerEntry, layer: number): void {
    const names = namesOf(entry.path);
    const name = names.pop();
    if (name === undefined) {
      Object.assign(this.root, nodeOf('', entry, layer), { children: this.root.children });
      return;
    }
    const folder = this.#ensureFolder(names, layer);
    const before = folder.get(name);
    const node = nodeOf(name, entry, layer);
    if (before?.children !== undefined && node.children !== undefined) node.children = before.children;
    else if (before !== undefined) this.#replace(entry.path, before, node);
    this.#count();
    folder.set(name, node);
  }

  #replace(path: string, before: TreeNode, node: TreeNode): void {
    const isSame =
      before.type === 'f' &&
      node.type === 'f' &&
      before.sizeBytes === node.sizeBytes &&
      before.crc === node.crc;
    this.#note(path, before, isSame ? 'rewritten' : 'replaced', node.layer);
  }

  #note(path: string, gone: TreeNode, kind: Removed['kind'], by: number): void {
    const sums = new Map<number, { sizeBytes: number; files: number }>();
    for (const node of walk(gone)) {
      if (node.type !== 'f') continue;
      const sum = sums.get(node.layer) ?? { sizeBytes: 0, files: 0 };
      sum.sizeBytes += node.sizeBytes;
      sum.files++;
      sums.set(node.layer, sum);
    }
    for (const [layer, sum] of sums)
      if (sum.sizeBytes > 0) this.removed.push({ path, layer, kind, by, ...sum });
  }

  #ensureFolder(names: readonly string[], layer: number): Map<string, TreeNode> {
    let folder: TreeNode = this.root;
    for (const [depth, name] of names.entries()) {
      const children = folder.children ?? new Map<string, TreeNode>();
      let next = children.get(name);
      if (next?.children === undefined) {
        const made = impliedFolder(name, layer);
        if (next !== undefined) this.#replace(names.slice(0, depth + 1).join('/'), next, made);
        this.#count();
        children.set(name, made);
        next = made;
      }
      folder = next;
    }
    return folder.children ?? new Map<string, TreeNode>();
  }

  #count(): void {
    if (++this.#nodes > NODE_LIMIT)
      throw new CodedError(
        'resource_exhausted',
        `the image has more than ${NODE_LIMIT} names: too many to show`,
      );
  }
}

/** One layer by itself: what it adds, with marks where it removes. */
export function treeOfLayer(entries: readonly LayerEntry[], layer: number): TreeNode {
  const merge = new LayerMerge();
  for (const entry of entries) if (entry.type === 'w') merge.put(entry, layer);
  merge.add(
    entries.filter(({ type }) => type !== 'w' && type !== 'o'),
    layer,
  );
  for (const entry of entries) {
    if (entry.type !== 'o') continue;
    const folder = findNode(merge.root, namesOf(entry.path));
    if (folder?.children === undefined) merge.put(entry, layer);
    else folder.type = 'o';
  }
  return merge.root;
}
