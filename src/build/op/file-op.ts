import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { decompress, peekBytes } from '#base/bytes/index.ts';
import { CodedError, hasCode } from '#base/errors/index.ts';
import type { FileAction, FileOp } from '#build/graph/types.ts';
import type { OpCall, OpDriver } from '#build/solver/types.ts';
import type { KeyComponent } from '#build/types.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { commitMeasured, removeMountPoint } from './exec.ts';
import { isTarHeader } from './file/archive.ts';
import type { SourceDigests } from './file/digest.ts';
import type { FoundSource } from './file/session.ts';
import type { SourceRequest } from './file/sources.ts';
import type { LayerDescriber } from './layers.ts';
import type { BuildJob, BuildResult, StateResult } from './types.ts';

/** What file ops need. */
export interface FileOpOptions {
  readonly snapshots: SnapshotStore;
  readonly layers: LayerDescriber;
  readonly changesets: Pick<Changesets, 'unpackLayer'>;
  readonly mountDir: string;
}

type Call = OpCall<BuildResult, BuildJob>;
type CopyAction = Extract<FileAction, { kind: 'copy' }>;

/** COPY, ADD, WORKDIR and heredoc files: actions on a root, one layer. */
export function createFileDriver(options: FileOpOptions): OpDriver<BuildResult, BuildJob> {
  return {
    isShareable: false,
    isWaiting: false,
    keys: fileKeys,
    run: (call, key) => runActions(options, call, key),
  };
}

/**
 * First by what was asked for and the identity of the inputs, when they all have one; then by the content of exactly the
 * files that are used.
 */
async function* fileKeys(call: Call): AsyncIterable<readonly KeyComponent[]> {
  const { vertex, inputs } = call;
  const op = vertex.op as FileOp;
  const copies = op.actions.filter((action) => action.kind === 'copy');
  const head: readonly KeyComponent[] = [
    { name: 'instruction', value: JSON.stringify(['file', ...op.actions.map(withoutInput)]) },
    { name: 'cwd', value: op.cwd },
    { name: 'parent', value: parentOf(call)?.id ?? 'scratch' },
  ];
  if (copies.length === 0) return yield head;
  const sources = copies.map(({ input }) => inputs[input]);
  if (sources.every((source) => source?.kind !== 'tree')) {
    yield [...head, ...sources.map((source) => ({ name: 'from', value: source?.id ?? 'scratch' }))];
  }
  const used: KeyComponent[] = [];
  for (const action of copies) used.push(...(await digestsOf(call, action)).components);
  yield [...head, ...used];
}

/** An input is part of the key by its content, not by its place in the list. */
function withoutInput(action: FileAction): FileAction | Omit<CopyAction, 'input'> {
  if (action.kind !== 'copy') return action;
  const { input: _, ...rest } = action;
  return rest;
}

async function runActions(options: FileOpOptions, call: Call, key: string): Promise<StateResult> {
  const { snapshots, layers, mountDir } = options;
  const { job, signal, vertex } = call;
  const op = vertex.op as FileOp;
  const parent = parentOf(call);
  const id = randomBytes(12).toString('hex');
  const active = `build-${id}`;
  await using cleanup = new AsyncDisposableStack();
  const prepared = await snapshots.prepare(active, parent?.snapshot);
  cleanup.defer(() => snapshots.remove(active));
  let view: string | undefined;
  if (parent?.snapshot !== undefined && snapshots.driver === 'overlay') {
    const at = join(mountDir, id);
    view = at;
    snapshots.mountViewAt(parent.snapshot, at);
    cleanup.defer(async () => {
      snapshots.unmount(at);
      await removeMountPoint(at);
    });
  }
  const target = await job.files.call('openTarget', {
    upper: prepared.upperDir,
    ...(view === undefined ? {} : { view }),
  });
  cleanup.defer(() => job.files.call('closeTarget', target));
  for (const action of op.actions) {
    signal.throwIfAborted();
    await runAction({ options, call, target, active, id }, action);
  }
  signal.throwIfAborted();
  const name = `build/${key}`;
  const sourceHash = await hashSources(call);
  await commitMeasured(snapshots, job.files, prepared, name);
  return {
    kind: 'state',
    id: key,
    snapshot: name,
    ...(parent === undefined ? {} : { parent }),
    layer: layers.lazily(name),
    createdAt: Date.now(),
    ...(sourceHash === undefined ? {} : { sourceHash }),
  };
}

interface Run {
  readonly options: FileOpOptions;
  readonly call: Call;
  readonly target: number;
  readonly active: string;
  readonly id: string;
}

async function runAction(run: Run, action: FileAction): Promise<void> {
  const { call, target } = run;
  const { files } = call.job;
  const { cwd } = call.vertex.op as FileOp;
  switch (action.kind) {
    case 'copy':
      return copyAction(run, action);
    case 'write':
      return files.call('write', { ...action, target, path: absolute(cwd, action.path) });
    case 'mkdir':
      return files.call('mkdir', { ...action, target, path: absolute(cwd, action.path) });
    case 'remove':
      return files.call('remove', { ...action, target, path: absolute(cwd, action.path) });
  }
}

async function copyAction(run: Run, action: CopyAction): Promise<void> {
  const { call, target } = run;
  const { files } = call.job;
  const tree = await treeOf(call, action);
  const input = call.inputs[action.input];
  const isDownload = input?.kind === 'tree' && input.isDownload;
  const sources = await files.call('sources', {
    tree,
    request: requestOf(call, action),
    unpack: action.unpack && !isDownload,
  });
  if (sources.length > 1 && !action.destinationIsDir) {
    throw new CodedError(
      'invalid_argument',
      `When using ${action.createdBy} with more than one source file, the destination must be a directory and end with a /`,
      { help: { id: 'build/destination', fix: [`write the destination as ${action.destination}/`] } },
    );
  }
  const destination = absolute((call.vertex.op as FileOp).cwd, action.destination);
  const copy = (some: readonly FoundSource[]): Promise<void> =>
    files.call('copy', {
      tree,
      target,
      sources: some,
      destination,
      destinationIsDirectory: action.destinationIsDir,
      keepOwner: input?.kind === 'state',
      parents: action.parents,
      exclude: action.exclude ?? [],
      ...(action.chown === undefined ? {} : { chown: action.chown }),
      ...(action.chmod === undefined ? {} : { chmod: action.chmod }),
    });
  if (sources.every(({ archive }) => archive === 'file')) return copy(sources);
  for (const source of sources) {
    if (await isArchive(source, call.signal)) await unpackSource(run, action, source, destination);
    else await copy([source]);
  }
}

/** As Docker, by the first header of what is inside. */
async function isArchive(source: FoundSource, signal: AbortSignal): Promise<boolean> {
  if (source.archive !== 'maybe') return source.archive === 'archive';
  const stream = decompress(createReadStream(source.hostPath), 'auto', { signal });
  try {
    const { head } = await peekBytes(stream, 512);
    return isTarHeader(head);
  } catch (error) {
    signal.throwIfAborted();
    if (hasCode(error, 'invalid_argument')) return false;
    throw error;
  } finally {
    await stream.return();
  }
}

/** Unpacks an archive into the mounted root, in a child that is locked into the destination. */
async function unpackSource(
  run: Run,
  action: CopyAction,
  source: FoundSource,
  destination: string,
): Promise<void> {
  const { options, call, target, active, id } = run;
  const { snapshots, changesets, mountDir } = options;
  const { files } = call.job;
  const place = await files.call('prepareUnpack', {
    target,
    destination,
    ...(action.chown === undefined ? {} : { chown: action.chown }),
  });
  const at = join(mountDir, `${id}-root`);
  snapshots.mountAt(active, at, { volatile: true });
  try {
    await changesets.unpackLayer({
      source: { path: source.hostPath },
      compression: 'auto',
      targetDir: join(at, place.path),
      whiteouts: 'literal',
      signal: call.signal,
      ...(place.owner === undefined ? {} : { owner: place.owner }),
    });
  } catch (error) {
    call.signal.throwIfAborted();
    throw new CodedError(
      hasCode(error, 'resource_exhausted') ? 'resource_exhausted' : 'invalid_argument',
      `${action.createdBy} failed: cannot unpack "${source.written}": ${(error as Error).message}`,
      { cause: error },
    );
  } finally {
    snapshots.unmount(at);
    await removeMountPoint(at);
    await files.call('noteMounted', target);
  }
}

/** What the history shows for the sources: `file:`, `dir:` or `multi:` and a hash of what was used. */
export async function hashSources(call: Call): Promise<string | undefined> {
  const { op } = call.vertex;
  return op.kind === 'file' ? hashActions(call, op) : undefined;
}

async function hashActions(call: Call, op: FileOp): Promise<string | undefined> {
  const hashes: string[] = [];
  for (const action of op.actions) {
    if (action.kind === 'write') hashes.push(`file:${sha256(action.content)}`);
    if (action.kind === 'copy') hashes.push(...(await digestsOf(call, action)).hashes);
  }
  return hashes.length <= 1 ? hashes[0] : `multi:${sha256(hashes.join(','))}`;
}

async function digestsOf(call: Call, action: CopyAction): Promise<SourceDigests> {
  return call.job.files.call('digest', {
    tree: await treeOf(call, action),
    request: requestOf(call, action),
    exclude: action.exclude ?? [],
  });
}

function requestOf(call: Call, action: CopyAction): SourceRequest {
  const input = call.inputs[action.input];
  return {
    sources: action.sources,
    createdBy: action.createdBy,
    isContext: input?.kind === 'tree' && input.isContext,
    allowEmptyWildcard: action.allowEmptyWildcard,
  };
}

async function treeOf(call: Call, action: CopyAction): Promise<number> {
  const input = call.inputs[action.input];
  if (input === undefined) throw new CodedError('internal', `copy has no input ${action.input}`);
  return input.kind === 'tree' ? input.tree : call.job.openView(input);
}

/** Input 0 is the root, unless the op begins with nothing and copies from its first input. */
function parentOf(call: Call): StateResult | undefined {
  const input = call.inputs[0];
  return input?.kind === 'state' ? input : undefined;
}

function absolute(cwd: string, path: string): string {
  return path.startsWith('/') ? path : `${cwd.startsWith('/') ? cwd : `/${cwd}`}/${path}`;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
