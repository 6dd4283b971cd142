import type { EntryType, LayerEntry } from './entries.ts';

/** A name in a tree of files. */
export interface TreeNode {
  readonly name: string;
  type: EntryType;
  sizeBytes: number;
  mode: number;
  uid: number;
  gid: number;
  modifiedSeconds: number;
  crc: number;
  offset: number;
  link: string;
  /** Place of the layer it is from. */
  layer: number;
  /** Of a folder. */
  children: Map<string, TreeNode> | undefined;
  /** Bytes of all files in and below it; -1 until somebody asks. */
  totalBytes: number;
}

const IMPLIED_MODE = 0o755;

/** A folder that entries lie in and that no entry describes, or the root. */
export function impliedFolder(name: string, layer: number): TreeNode {
  return {
    name,
    type: 'd',
    sizeBytes: 0,
    mode: IMPLIED_MODE,
    uid: 0,
    gid: 0,
    modifiedSeconds: 0,
    crc: 0,
    offset: -1,
    link: '',
    layer,
    children: new Map(),
    totalBytes: -1,
  };
}

/** The node of an entry. */
export function nodeOf(name: string, entry: LayerEntry, layer: number): TreeNode {
  const { type, sizeBytes, mode, uid, gid, modifiedSeconds, crc, offset, link } = entry;
  const children = type === 'd' || type === 'o' ? new Map<string, TreeNode>() : undefined;
  return {
    name,
    type,
    sizeBytes,
    mode,
    uid,
    gid,
    modifiedSeconds,
    crc,
    offset,
    link,
    layer,
    children,
    totalBytes: -1,
  };
}

/** The names of a path, from the root down. */
export function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** The node at a path; no link is followed. */
export function findNode(root: TreeNode, names: readonly string[]): TreeNode | undefined {
  let node: TreeNode | undefined = root;
  for (const name of names) node = node?.children?.get(name);
  return node;
}

/** Every node below, without recursion: a path may be thousands of names long. */
export function* walk(root: TreeNode): Generator<TreeNode> {
  const stack = [root];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    yield node;
    // A folder may have more children than a call takes arguments.
    for (const child of node.children?.values() ?? []) stack.push(child);
  }
}

/** Fills `totalBytes` of everything below, deepest first. */
export function sumSizes(root: TreeNode): void {
  const order = [...walk(root)];
  for (const node of order) node.totalBytes = node.sizeBytes;
  // A parent stands before its children, so that backwards every child is whole before it is added.
  for (let index = order.length - 1; index >= 0; index--) {
    const node = order[index];
    for (const child of node?.children?.values() ?? [])
      if (node !== undefined) node.totalBytes += child.totalBytes;
  }
}
