import { createHash } from 'node:crypto';
import { closeSync, readSync } from 'node:fs';
import type { Tree, TreeEntry } from '#build/context/index.ts';
import type { KeyComponent } from '#build/types.ts';
import type { Source } from './sources.ts';

/** Beyond this many files a key names directories instead of files, so that a record stays small. */
const FILE_COMPONENT_LIMIT = 2000;
/** Hex digits of a value: components are stored with every record, and 128 bits tell files apart. */
const VALUE_DIGITS = 32;

/** What is left out below a source: paths relative to the tree's root. */
export type Excluded = (path: string) => boolean;

/** What a copy would use. */
export interface SourceDigests {
  /** One component a file (`file src/a.c`), or a directory (`files in src`) when there are very many. */
  readonly components: readonly KeyComponent[];
  /** For each source, `file:` or `dir:` and a hash of all that is used of it. */
  readonly hashes: readonly string[];
}

/** Finds what copies depend on: type, mode, owner and content of every file they use; never times. */
export class SourceHasher {
  readonly #tree: Tree;
  readonly #contents = new Map<string, string>();
  readonly #buffer = Buffer.allocUnsafeSlow(1 << 18);

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  digest(sources: readonly Source[], excluded: Excluded = () => false): SourceDigests {
    const named: KeyComponent[] = [];
    const files: KeyComponent[] = [];
    const hashes: string[] = [];
    for (const source of sources) {
      const kind = source.isDirectory ? 'dir' : 'file';
      named.push({ name: `source ${source.written}`, value: `${kind} ${source.name}` });
      const first = files.length;
      this.#walk(source.path, source.path, excluded, files);
      const hash = createHash('sha256');
      for (let i = first; i < files.length; i++) hash.update(`${files[i]?.name}\0${files[i]?.value}\n`);
      hashes.push(`${kind}:${hash.digest('hex')}`);
    }
    const used = files.length <= FILE_COMPONENT_LIMIT ? files : groupByDirectory(files);
    return { components: [...named, ...used], hashes };
  }

  #walk(path: string, top: string, excluded: Excluded, into: KeyComponent[]): void {
    const entry = this.#tree.find(path);
    if (entry === undefined || entry.type === 's' || (path !== top && excluded(path))) return;
    // The mode of a source directory itself does not reach the image.
    if (path !== top || entry.type !== 'd') {
      into.push({
        name: `${entry.type === 'd' ? 'dir' : 'file'} ${path}`,
        value: shortHash(this.#describe(path, entry)),
      });
    }
    if (entry.type !== 'd') return;
    for (const name of this.#tree.list(path)) {
      this.#walk(path === '' ? name : `${path}/${name}`, top, excluded, into);
    }
  }

  #describe(path: string, entry: TreeEntry): string {
    const owner = `${entry.uid}:${entry.gid}`;
    const head = `${entry.type} ${entry.mode.toString(8)} ${owner}`;
    switch (entry.type) {
      case 'f':
        return `${head} ${entry.contentDigest ?? this.#content(path)}`;
      case 'l':
        return `${head} ${entry.linkTarget ?? ''}`;
      default:
        return entry.device === undefined ? head : `${head} ${entry.device}`;
    }
  }

  #content(path: string): string {
    let digest = this.#contents.get(path);
    if (digest === undefined) {
      digest = this.#read(path);
      this.#contents.set(path, digest);
    }
    return digest;
  }

  #read(path: string): string {
    const hash = createHash('sha256');
    const fd = this.#tree.openFile(path);
    try {
      for (;;) {
        const count = readSync(fd, this.#buffer, 0, this.#buffer.length, null);
        if (count === 0) break;
        hash.update(this.#buffer.subarray(0, count));
      }
    } finally {
      closeSync(fd);
    }
    return `sha256:${hash.digest('hex')}`;
  }
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, VALUE_DIGITS);
}

/** Joins the components of a directory's files into one. */
function groupByDirectory(files: readonly KeyComponent[]): readonly KeyComponent[] {
  const groups = new Map<string, ReturnType<typeof createHash>>();
  for (const { name, value } of files) {
    const path = name.slice(name.indexOf(' ') + 1);
    const directory = path.split('/').slice(0, -1).slice(0, 3).join('/');
    let hash = groups.get(directory);
    if (hash === undefined) {
      hash = createHash('sha256');
      groups.set(directory, hash);
    }
    hash.update(`${name}\0${value}\n`);
  }
  return [...groups].map(([directory, hash]) => ({
    name: `files in ${directory === '' ? '.' : directory}`,
    value: hash.digest('hex').slice(0, VALUE_DIGITS),
  }));
}
