/** A context, an image and a layer to be made, as directories; for tests of copying. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TreeSpec } from '#build/context/index.ts';
import { FileSession } from './session.ts';
import type { SourceRequest } from './sources.ts';

/** Why these tests are skipped, or `false`. */
export const root = { skip: process.getuid?.() === 0 ? false : 'changing owners needs root' };

/** Where a test works. */
export interface Place {
  /** The build context. */
  readonly context: string;
  /** What the layers below have. */
  readonly view: string;
  /** What the copy makes. */
  readonly upper: string;
  copy(options: CopyOptions): void;
}

/** A COPY. */
export interface CopyOptions {
  readonly sources: readonly string[];
  readonly to: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly from?: 'stage';
  readonly createdBy?: 'ADD' | 'COPY';
  readonly ignore?: string;
  readonly tree?: Partial<Extract<TreeSpec, { kind: 'disk' }>>;
}

/** Runs a test in directories of its own. */
export function withPlace(body: (place: Place) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-copy-'));
    const place = (name: string): string => {
      mkdirSync(join(dir, name));
      return join(dir, name);
    };
    const [context, view, upper] = [place('context'), place('view'), place('upper')];
    try {
      await body({ context, view, upper, copy: (options) => copy({ context, view, upper }, options) });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };
}

function copy(dirs: Omit<Place, 'copy'>, options: CopyOptions): void {
  const session = new FileSession();
  const tree = session.openTree({
    kind: 'disk',
    root: dirs.context,
    fixedDirs: [],
    rootOwned: options.from === undefined,
    ...(options.ignore === undefined ? {} : { ignore: { file: '.dockerignore', text: options.ignore } }),
    ...options.tree,
  });
  const target = session.openTarget({ upper: dirs.upper, view: dirs.view });
  const request: SourceRequest = {
    sources: options.sources,
    createdBy: options.createdBy ?? 'COPY',
    isContext: options.from === undefined,
    allowEmptyWildcard: false,
  };
  try {
    session.copy({
      tree,
      target,
      sources: session.sources({ tree, request, unpack: false }),
      destination: options.to,
      destinationIsDirectory: options.to.endsWith('/') || options.sources.length > 1,
      keepOwner: options.from === 'stage',
      parents: false,
      exclude: [],
      ...(options.chown === undefined ? {} : { chown: options.chown }),
      ...(options.chmod === undefined ? {} : { chmod: options.chmod }),
    });
  } finally {
    session.closeTree(tree);
  }
}

/** Paths of a tree, directories with a slash, links with their target. */
export function treeOf(dir: string, at = ''): readonly string[] {
  return readdirSync(join(dir, at), { withFileTypes: true })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = at === '' ? entry.name : `${at}/${entry.name}`;
      if (entry.isDirectory()) return [`${path}/`, ...treeOf(dir, path)];
      return [entry.isSymbolicLink() ? `${path} -> ${readlinkSync(join(dir, path))}` : path];
    });
}

/** Makes files, links, and directories (a trailing slash). */
export function fill(
  dir: string,
  entries: Readonly<Record<string, string | { readonly link: string }>>,
): void {
  for (const [path, value] of Object.entries(entries)) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    if (typeof value === 'object') symlinkSync(value.link, join(dir, path));
    else if (path.endsWith('/')) mkdirSync(join(dir, path), { recursive: true });
    else writeFileSync(join(dir, path), value);
  }
}
