import { CodedError } from '#base/errors/index.ts';
import type { FileEntry, FileListing, LayerWaste, WasteReport } from '#hub/protocol/index.ts';
import { decodeEntries } from './entries.ts';
import { LayerMerge, treeOfLayer } from './merge.ts';
import { findNode, namesOf, sumSizes, type TreeNode, walk } from './node.ts';

/** What one answer holds at most. */
const FOLDER_LIMIT = 2000;
const FOUND_LIMIT = 500;
const WASTE_LIMIT = 100;
const LINK_LIMIT = 40;

/** Where the bytes of a file lie. */
export interface FilePlace {
  /** Where links led. */
  readonly path: string;
  readonly layer: number;
  readonly sizeBytes: number;
  /** In the uncompressed layer; -1 where they do not lie in one piece. */
  readonly offset: number;
}

/** The files of an image: all layers over one another, and each by itself. `layer` is a place, or `null` for all. */
export class ImageTree {
  readonly #lists: readonly Uint8Array[];
  readonly #views = new Map<number | null, TreeNode>();
  readonly #waste: WasteReport;

  /** @throws {CodedError} `resource_exhausted` when there are too many names. */
  constructor(lists: readonly Uint8Array[]) {
    this.#lists = lists;
    const merge = new LayerMerge();
    const totals: { files: number; contentBytes: number }[] = [];
    for (const [layer, list] of lists.entries()) {
      const entries = [...decodeEntries(list)];
      merge.add(entries, layer);
      const files = entries.filter(({ type }) => type === 'f');
      totals.push({
        files: files.length,
        contentBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      });
    }
    sumSizes(merge.root);
    this.#views.set(null, merge.root);
    this.#waste = reportOf(merge, totals);
  }

  /** Bytes that later layers made useless. */
  get waste(): WasteReport {
    return this.#waste;
  }

  /** A folder: folders first, then by name. @throws {CodedError} `not_found`. */
  list(layer: number | null, path: string): FileListing {
    const names = namesOf(path);
    const folder = findNode(this.#view(layer), names);
    if (folder?.children === undefined)
      throw new CodedError('not_found', `there is no folder /${names.join('/')}`);
    const nodes = [...folder.children.values()].sort(byKindAndName);
    const prefix = names.length === 0 ? '' : `${names.join('/')}/`;
    const entries = nodes.slice(0, FOLDER_LIMIT).map((node) => entryOf(node, prefix + node.name));
    return { entries, total: nodes.length };
  }

  /** Everything with `text` in its path, in whichever case. */
  find(layer: number | null, text: string): FileListing {
    const wanted = text.toLowerCase();
    const entries: FileEntry[] = [];
    let total = 0;
    const stack: { readonly node: TreeNode; readonly path: string }[] = [
      { node: this.#view(layer), path: '' },
    ];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      const { node, path } = at;
      if (path !== '' && path.toLowerCase().includes(wanted)) {
        total++;
        if (entries.length < FOUND_LIMIT) entries.push(entryOf(node, path));
      }
      const prefix = path === '' ? '' : `${path}/`;
      for (const child of node.children?.values() ?? [])
        stack.push({ node: child, path: prefix + child.name });
    }
    entries.sort((a, b) => (a.path < b.path ? -1 : 1));
    return { entries, total };
  }

  /**
   * Where the bytes of a file are; links are followed as inside a container.
   * @throws {CodedError} `not_found`, `invalid_argument` for what is no file.
   */
  locate(layer: number | null, path: string): FilePlace {
    const found = this.#follow(this.#view(layer), namesOf(path), path);
    let { node } = found;
    if (node.type === 'h') node = this.#linked(node, layer);
    if (node.type !== 'f') throw new CodedError('invalid_argument', `/${found.path} is no file with content`);
    return { path: found.path, layer: node.layer, sizeBytes: node.sizeBytes, offset: node.offset };
  }

  /** A hard link names a file of its own layer, or one of those below. */
  #linked(link: TreeNode, layer: number | null): TreeNode {
    const names = namesOf(link.link);
    let node = findNode(this.#view(link.layer), names);
    if (node === undefined) node = findNode(this.#view(layer), names);
    for (let hops = 0; node?.type === 'h' && hops < LINK_LIMIT; hops++)
      node = findNode(this.#view(node.layer), namesOf(node.link));
    if (node === undefined) throw new CodedError('not_found', `the hard link to ${link.link} leads nowhere`);
    return node;
  }

  #follow(
    root: TreeNode,
    start: readonly string[],
    asked: string,
  ): { readonly node: TreeNode; readonly path: string } {
    let names = [...start];
    const done: TreeNode[] = [root];
    for (let hops = 0; ; ) {
      const name = names.shift();
      const here = done.at(-1) ?? root;
      if (name === undefined)
        return {
          node: here,
          path: done
            .slice(1)
            .map((node) => node.name)
            .join('/'),
        };
      if (name === '..') {
        if (done.length > 1) done.pop();
        continue;
      }
      const next = here.children?.get(name);
      if (next === undefined) throw new CodedError('not_found', `there is no /${namesOf(asked).join('/')}`);
      if (next.type !== 'l') {
        done.push(next);
        continue;
      }
      if (++hops > LINK_LIMIT)
        throw new CodedError('invalid_argument', `the links of ${asked} lead in circles`);
      if (next.link.startsWith('/')) done.length = 1;
      names = [...namesOf(next.link), ...names];
    }
  }

  #view(layer: number | null): TreeNode {
    const known = this.#views.get(layer);
    if (known !== undefined) return known;
    const list = layer === null ? undefined : this.#lists[layer];
    if (list === undefined || layer === null) throw new CodedError('not_found', `there is no layer ${layer}`);
    const root = treeOfLayer([...decodeEntries(list)], layer);
    sumSizes(root);
    this.#views.set(layer, root);
    return root;
  }

  /** Names held in memory. */
  countNodes(): number {
    let count = 0;
    for (const root of this.#views.values()) for (const _ of walk(root)) count++;
    return count;
  }
}

function byKindAndName(a: TreeNode, b: TreeNode): number {
  const order = Number(b.children !== undefined) - Number(a.children !== undefined);
  return order || (a.name < b.name ? -1 : 1);
}

function entryOf(node: TreeNode, path: string): FileEntry {
  const { type, mode, uid, gid, modifiedSeconds, layer, link, children, totalBytes } = node;
  return {
    path,
    type,
    sizeBytes: totalBytes,
    mode,
    uid,
    gid,
    modifiedAt: modifiedSeconds * 1000,
    layer,
    link,
    children: children?.size ?? 0,
  };
}

function reportOf(
  merge: LayerMerge,
  totals: readonly { readonly files: number; readonly contentBytes: number }[],
): WasteReport {
  const layers = totals.map(({ files, contentBytes }, layer): LayerWaste => {
    const removed = merge.removed.filter((each) => each.layer === layer);
    removed.sort((a, b) => b.sizeBytes - a.sizeBytes || (a.path < b.path ? -1 : 1));
    return {
      files,
      contentBytes,
      wastedBytes: removed.reduce((sum, each) => sum + each.sizeBytes, 0),
      paths: removed.slice(0, WASTE_LIMIT).map(({ layer: _, ...rest }) => rest),
      total: removed.length,
    };
  });
  return {
    layers,
    contentBytes: layers.reduce((sum, layer) => sum + layer.contentBytes, 0),
    wastedBytes: layers.reduce((sum, layer) => sum + layer.wastedBytes, 0),
  };
}
