/** The worker's side of file ops: what one build has open, and the calls on it. Everything here is synchronous. */
import { closeSync, fstatSync, mkdirSync, readSync, writeFileSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import {
  createExcluder,
  openTree,
  resolvePath,
  type SmallCall,
  type SmallContext,
  type Tree,
  type TreeSpec,
  unpackSmall,
} from '#build/context/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import { type ArchiveGuess, guessArchive } from './archive.ts';
import { Copier, makeDirectory, writeText } from './copy.ts';
import { type SourceDigests, SourceHasher } from './digest.ts';
import { measureFiles } from './measure.ts';
import { parseMode } from './mode.ts';
import { type Owner, parseOwner } from './owner.ts';
import { findSources, type Source, type SourceRequest } from './sources.ts';
import { Target } from './target.ts';

/** A source and what ADD would do with it. */
export interface FoundSource extends Source {
  readonly archive: ArchiveGuess;
  /** Opens the archive, for the unpacking child; empty for anything else. */
  readonly hostPath: string;
}

interface OpenTree {
  readonly tree: Tree;
  readonly hasher: SourceHasher;
  /** Archives that are being unpacked. */
  readonly held: number[];
}

/** Arguments of `copy`. */
export interface CopyCall {
  readonly tree: number;
  readonly target: number;
  readonly sources: readonly Source[];
  readonly destination: string;
  readonly destinationIsDirectory: boolean;
  readonly chown?: string;
  readonly chmod?: string;
  readonly keepOwner: boolean;
  readonly parents: boolean;
  readonly exclude: readonly string[];
}

/** The calls of the tree worker. Handles are numbers, arguments and results plain data. */
export class FileSession {
  readonly #trees = new Map<number, OpenTree>();
  readonly #targets = new Map<number, Target>();
  #next = 1;

  openTree(spec: TreeSpec): number {
    const tree = openTree(spec);
    this.#trees.set(this.#next, { tree, hasher: new SourceHasher(tree), held: [] });
    return this.#next++;
  }

  closeTree(handle: number): void {
    const open = this.#trees.get(handle);
    for (const fd of open?.held ?? []) closeSync(fd);
    open?.tree.close();
    this.#trees.delete(handle);
  }

  openTarget(options: { readonly upper: string; readonly view?: string }): number {
    this.#targets.set(this.#next, new Target(options.upper, options.view));
    return this.#next++;
  }

  closeTarget(handle: number): void {
    this.#targets.delete(handle);
  }

  noteMounted(handle: number): void {
    this.#target(handle).noteMounted();
  }

  /** What a copy would use. */
  digest(call: {
    readonly tree: number;
    readonly request: SourceRequest;
    readonly exclude: readonly string[];
  }): SourceDigests {
    const { tree, hasher } = this.#open(call.tree);
    return hasher.digest(findSources(tree, call.request), createExcluder(call.exclude));
  }

  sources(call: {
    readonly tree: number;
    readonly request: SourceRequest;
    readonly unpack: boolean;
  }): readonly FoundSource[] {
    const { tree, held } = this.#open(call.tree);
    return findSources(tree, call.request).map((source) => {
      if (!call.unpack || tree.find(source.path)?.type !== 'f')
        return { ...source, archive: 'file', hostPath: '' };
      const fd = tree.openFile(source.path);
      const archive = guessArchive(fd);
      if (archive === 'file') {
        closeSync(fd);
        return { ...source, archive, hostPath: '' };
      }
      // Kept open: what is unpacked later is the file that was looked at, whatever lies at its path by then.
      held.push(fd);
      return { ...source, archive, hostPath: `/proc/${process.pid}/fd/${fd}` };
    });
  }

  copy(call: CopyCall): void {
    const { tree } = this.#open(call.tree);
    const target = this.#target(call.target);
    const owner =
      call.chown === undefined
        ? call.keepOwner
          ? undefined
          : { uid: 0, gid: 0 }
        : parseOwner(call.chown, (path) => target.readText(path));
    new Copier(tree, target, {
      destination: call.destination,
      destinationIsDirectory: call.destinationIsDirectory,
      owner,
      mode: call.chmod === undefined ? undefined : parseMode(call.chmod),
      parents: call.parents,
      excluded: createExcluder(call.exclude),
    }).copy(call.sources);
  }

  /** Makes the directory an archive is unpacked into; gives its path after links, and the owner asked for. */
  prepareUnpack(call: { readonly target: number; readonly destination: string; readonly chown?: string }): {
    readonly path: string;
    readonly owner?: Owner;
  } {
    const target = this.#target(call.target);
    const owner =
      call.chown === undefined ? undefined : parseOwner(call.chown, (path) => target.readText(path));
    const resolved = resolvePath(target, call.destination, { followLast: true });
    if (resolved.entry !== undefined && resolved.entry.type !== 'd')
      throw new CodedError('invalid_argument', `cannot copy to non-directory: /${resolved.path}`);
    target.ensureDirectory(resolved.path, { mode: 0o755, owner: owner ?? { uid: 0, gid: 0 } });
    return { path: resolved.path, ...(owner === undefined ? {} : { owner }) };
  }

  write(call: {
    readonly target: number;
    readonly path: string;
    readonly content: string;
    readonly modeOctal: string;
    readonly chown?: string;
  }): void {
    const target = this.#target(call.target);
    const mode = parseMode(call.modeOctal)(0o644, false);
    writeText(target, {
      path: call.path,
      content: call.content,
      mode,
      owner: this.#owner(target, call.chown),
    });
  }

  mkdir(call: {
    readonly target: number;
    readonly path: string;
    readonly modeOctal: string;
    readonly parents: boolean;
    readonly chown?: string;
  }): void {
    const target = this.#target(call.target);
    makeDirectory(target, {
      path: call.path,
      mode: parseMode(call.modeOctal)(0o755, true),
      owner: this.#owner(target, call.chown),
      parents: call.parents,
    });
  }

  remove(call: { readonly target: number; readonly path: string; readonly allowMissing: boolean }): void {
    const target = this.#target(call.target);
    const resolved = resolvePath(target, call.path, { followLast: false });
    if (resolved.entry !== undefined) target.remove(resolved.path);
    else if (!call.allowMissing)
      throw new CodedError('not_found', `cannot remove "${call.path}": no such file or directory`);
  }

  /** Unpacks a small context of plain files and reads texts of it; `undefined` for one that the changeset child has to unpack. */
  unpackSmall({ archive, root, indexPath, texts }: SmallCall): SmallContext | undefined {
    mkdirSync(root, { mode: 0o755 });
    const index = unpackSmall(Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength), root);
    if (index === undefined) return undefined;
    writeFileSync(indexPath, index, { mode: 0o600 });
    const tree = this.openTree({ kind: 'index', root, indexPath });
    try {
      const found = texts.map((path) => this.readText({ tree, path, limitBytes: archive.byteLength }));
      return { indexDigest: digestOf(index), texts: found, tree };
    } catch (error) {
      this.closeTree(tree);
      throw error;
    }
  }

  /** Text of a small file of a tree, links followed inside it; `undefined` when there is none. */
  readText(call: {
    readonly tree: number;
    readonly path: string;
    readonly limitBytes: number;
  }): { readonly path: string; readonly text: string } | undefined {
    const { tree } = this.#open(call.tree);
    const resolved = resolvePath(tree, call.path, { followLast: true });
    if (resolved.entry?.type !== 'f') return undefined;
    const fd = tree.openFile(resolved.path);
    try {
      const { size } = fstatSync(fd);
      if (size > call.limitBytes)
        throw new CodedError('resource_exhausted', `"${call.path}" is larger than ${call.limitBytes} bytes`);
      const bytes = Buffer.alloc(size);
      const count = readSync(fd, bytes, 0, size, 0);
      return { path: resolved.path, text: bytes.toString('utf8', 0, count) };
    } finally {
      closeSync(fd);
    }
  }

  /** Bytes of the files below a directory of ours. */
  measure(call: { readonly dir: string }): number {
    return measureFiles(call.dir);
  }

  list(call: { readonly tree: number; readonly path: string }): readonly string[] {
    return this.#open(call.tree).tree.list(call.path);
  }

  #owner(target: Target, chown: string | undefined): Owner {
    return chown === undefined ? { uid: 0, gid: 0 } : parseOwner(chown, (path) => target.readText(path));
  }

  #open(handle: number): OpenTree {
    const open = this.#trees.get(handle);
    if (open === undefined) throw new CodedError('internal', `tree ${handle} is not open`);
    return open;
  }

  #target(handle: number): Target {
    const target = this.#targets.get(handle);
    if (target === undefined) throw new CodedError('internal', `target ${handle} is not open`);
    return target;
  }
}
