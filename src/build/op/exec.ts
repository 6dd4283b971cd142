import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { findXattr } from '#base/posix/index.ts';
import type { ExecMount, ExecOp } from '#build/graph/types.ts';
import type { OpCall, OpDriver, OpEvents } from '#build/solver/types.ts';
import type { KeyComponent } from '#build/types.ts';
import { formatPlatform } from '#oci/platform/index.ts';
import type { ExitStatus, StepMount, StepRuntime } from '#runtime/process/types.ts';
import type { LeaseStore } from '#store/lease/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { ActiveSnapshot, SnapshotName, SnapshotStore } from '#store/snapshot/types.ts';
import type { FileClient } from './file/client.ts';
import type { LayerDescriber } from './layers.ts';
import type { BuildJob, BuildResult, StateResult } from './types.ts';

/** What running a step needs. */
export interface ExecOptions {
  readonly db: Pick<Database, 'transaction'>;
  readonly snapshots: SnapshotStore;
  readonly leases: Pick<LeaseStore, 'createLease'>;
  readonly layers: LayerDescriber;
  readonly stepRuntime: StepRuntime;
  /** Where roots are mounted; belongs to the builder. */
  readonly mountDir: string;
}

type Call = OpCall<BuildResult, BuildJob>;

/** RUN: a process in a mounted root; what it changed becomes a layer. */
export function createExecDriver(options: ExecOptions): OpDriver<BuildResult, BuildJob> {
  return {
    isShareable: true,
    isWaiting: false,
    async *keys({ vertex, inputs, job }) {
      const op = vertex.op as ExecOp;
      yield execComponents(op, inputs, formatPlatform(vertex.platform ?? job.platform));
    },
    run: (call, _key, events) => runStep(options, call, events),
  };
}

function execComponents(
  op: ExecOp,
  inputs: readonly BuildResult[],
  platform: string,
): readonly KeyComponent[] {
  return [
    { name: 'instruction', value: JSON.stringify(['exec', ...op.args]) },
    ...op.env.map((entry) => {
      const at = entry.indexOf('=');
      return { name: `env ${entry.slice(0, Math.max(at, 0))}`, value: entry.slice(at + 1) };
    }),
    { name: 'user', value: op.user },
    { name: 'cwd', value: op.cwd },
    { name: 'network', value: op.network },
    { name: 'security', value: op.security },
    { name: 'hostname', value: op.hostname ?? '' },
    { name: 'extra hosts', value: (op.extraHosts ?? []).join(' ') },
    { name: 'platform', value: platform },
    ...(op.mounts ?? []).map((mount) => ({ name: `mount ${mount.target}`, value: JSON.stringify(mount) })),
    ...inputs.map((input, i) => ({ name: i === 0 ? 'parent' : `input ${i}`, value: input.id })),
  ];
}

async function runStep(options: ExecOptions, call: Call, events: OpEvents): Promise<StateResult> {
  const { snapshots, leases, layers, mountDir } = options;
  const { signal, vertex, job } = call;
  const op = vertex.op as ExecOp;
  if ((op.mounts ?? []).some((mount) => !isScriptMount(mount)))
    throw new CodedError('unimplemented', 'the --mount option requires BuildKit');
  if (op.security === 'insecure') {
    throw new CodedError('permission_denied', 'security.insecure is not allowed', {
      help: {
        id: 'build/insecure',
        cause: 'RUN --security=insecure asks for full rights on the host',
        fix: ['remove --security=insecure from the RUN line'],
      },
    });
  }
  const parent = parentState(call);
  const id = randomBytes(32).toString('hex');
  const [key, target] = [`build-${id}`, join(mountDir, id.slice(0, 24))];
  await using cleanup = new AsyncDisposableStack();
  const name = `build/${id}`;
  // What a lease holds is of no use to the next process: nothing waits for the disk.
  const lease = options.db.transaction(
    () => {
      const made = leases.createLease({ label: `build step ${id.slice(0, 12)}` });
      if (parent?.snapshot !== undefined) made.add({ kind: 'snapshot', key: parent.snapshot });
      made.add({ kind: 'snapshot', key: name });
      return made;
    },
    { durable: false },
  );
  cleanup.use(lease);
  const active = await snapshots.prepare(key, parent?.snapshot);
  cleanup.defer(() => snapshots.remove(key));
  snapshots.mountAt(key, target, { volatile: true });
  cleanup.defer(async () => {
    snapshots.unmount(target);
    await removeMountPoint(target);
  });
  const mounts = (op.mounts ?? []).map((mount, i): StepMount => {
    const source = `${target}-mount${i}`;
    mkdirSync(source, { recursive: true, mode: 0o700 });
    cleanup.defer(() => removeMountPoint(source));
    snapshots.mountViewAt(snapshotOf(call.inputs[mount.input ?? -1]), source);
    cleanup.defer(() => snapshots.unmount(source));
    return { type: 'bind', source, target: mount.target, readonly: true };
  });
  events.onStart(id);
  const output = new StepOutput(events);
  const status = await options.stepRuntime.run(
    {
      id,
      rootfs: target,
      args: op.args,
      env: [...op.env, ...(op.hiddenEnv ?? [])],
      cwd: op.cwd,
      user: op.user,
      network: op.network,
      limits: job.limits,
      mounts,
      ...(op.hostname === undefined ? {} : { hostname: op.hostname }),
      ...(op.extraHosts === undefined ? {} : { extraHosts: op.extraHosts }),
    },
    { onOutput: (stream, chunk) => output.write(stream, chunk), signal },
  );
  output.end();
  signal.throwIfAborted();
  if (status.exitCode !== 0) throw failedStep(op, vertex.ranges[0]?.start, status, output.lastErrorLine);
  snapshots.unmount(target);
  await removeMountPoint(target);
  dropEmptyCopyUp(active, 'etc');
  if (job.positionsOf(vertex).length > 0) layers.beginEarly(name, active.upperDir);
  await commitMeasured(snapshots, job.files, active, name);
  return {
    kind: 'state',
    id,
    snapshot: name,
    ...(parent === undefined ? {} : { parent }),
    layer: layers.lazily(name),
    createdAt: Date.now(),
  };
}

/**
 * Mount points that the image lacks (`/etc/resolv.conf`) are made for the run and taken away again; what stays is their
 * directory, copied up without a change. It is no change of the step either.
 */
function dropEmptyCopyUp(active: ActiveSnapshot, name: string): void {
  const at = join(active.upperDir, name);
  const upper = lstatSync(at, { throwIfNoEntry: false, bigint: true });
  if (upper?.isDirectory() !== true || readdirSync(at).length > 0) return;
  if (findXattr(at, 'trusted.overlay.opaque') !== undefined) return;
  for (const dir of active.lowerDirs) {
    const below = lstatSync(join(dir, name), { throwIfNoEntry: false, bigint: true });
    if (below === undefined) continue;
    // The time was put back with less than nanoseconds.
    const driftNs = Number(below.mtimeNs - upper.mtimeNs);
    const isSame =
      below.mode === upper.mode &&
      below.uid === upper.uid &&
      below.gid === upper.gid &&
      Math.abs(driftNs) < 2000;
    if (isSame) rmdirSync(at);
    return;
  }
}

/** The script of a heredoc with `#!`: a whole state, read only. */
function isScriptMount(mount: ExecMount): boolean {
  return (
    mount.type === 'bind' && mount.readonly === true && mount.source === '/' && mount.input !== undefined
  );
}

function snapshotOf(input: Call['inputs'][number] | undefined): SnapshotName | undefined {
  return input?.kind === 'state' ? input.snapshot : undefined;
}

/** The state an op works on; `undefined` for an empty root. */
export function parentState(call: Call): StateResult | undefined {
  const input = call.inputs[0];
  return input?.kind === 'state' ? input : undefined;
}

/** Commits without waiting for the disk; the size is found in a thread, where a walk costs a tenth. */
export async function commitMeasured(
  snapshots: SnapshotStore,
  files: FileClient,
  active: ActiveSnapshot,
  name: string,
): Promise<void> {
  const size =
    snapshots.driver === 'overlay'
      ? { sizeBytes: await files.call('measure', { dir: active.upperDir }) }
      : {};
  await snapshots.commit(active.key, name, { durable: false, ...size });
}

/** Removes the empty directory something was mounted at. */
export async function removeMountPoint(target: string): Promise<void> {
  await rmdir(target).catch((error: unknown) => {
    if (!isSystemError(error, 'ENOENT')) throw error;
  });
}

/** Bytes of a step as text: characters are kept whole, and the last line of stderr is remembered. */
class StepOutput {
  readonly #events: OpEvents;
  readonly #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  #tail = '';

  constructor(events: OpEvents) {
    this.#events = events;
  }

  write(stream: 'stdout' | 'stderr', chunk: Uint8Array): void {
    this.#emit(stream, this.#decoders[stream].write(chunk as Buffer));
  }

  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) this.#emit(stream, this.#decoders[stream].end());
  }

  get lastErrorLine(): string | undefined {
    return this.#tail
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .at(-1);
  }

  #emit(stream: 'stdout' | 'stderr', text: string): void {
    if (text === '') return;
    if (stream === 'stderr') this.#tail = `${this.#tail}${text}`.slice(-4096);
    this.#events.onOutput(text);
  }
}

const MEANINGS: Readonly<Record<number, string>> = {
  1: 'the command failed',
  2: 'the command was used wrongly, or it failed',
  100: 'apt could not do what was asked: a package name is wrong, or a package source cannot be reached',
  126: 'the command was found but cannot be executed: it is no program, or it lacks the x permission',
  127: 'a command was not found: it is not installed in the image, or its name is wrong',
  137: 'the process was killed (SIGKILL), usually for want of memory',
  139: 'the process crashed (segmentation fault)',
  143: 'the process was asked to end (SIGTERM)',
};

function failedStep(
  op: ExecOp,
  line: number | undefined,
  status: ExitStatus,
  lastErrorLine: string | undefined,
): CodedError {
  const { exitCode, oomKilled } = status;
  const meaning = oomKilled
    ? 'the process was killed because it used more memory than allowed'
    : MEANINGS[exitCode];
  const cause = [
    line === undefined ? undefined : `line ${line} of the Dockerfile failed`,
    lastErrorLine === undefined ? undefined : `its last error line was: ${lastErrorLine}`,
    meaning === undefined ? undefined : `exit code ${exitCode} usually means: ${meaning}`,
  ];
  return new CodedError(
    'failed_precondition',
    `The command '${op.args.join(' ')}' returned a non-zero code: ${exitCode}`,
    {
      data: {
        exitCode,
        oomKilled,
        ...(line === undefined ? {} : { line }),
        ...(lastErrorLine === undefined ? {} : { lastErrorLine }),
      },
      help: {
        // The system's own words for ENOSPC, which every libc prints.
        id: /no space left on device/i.test(lastErrorLine ?? '') ? 'disk/full' : 'build/run-failed',
        cause: cause.filter((part) => part !== undefined).join('; '),
        fix: fixesFor(exitCode, oomKilled),
      },
    },
  );
}

function fixesFor(exitCode: number, oomKilled: boolean): readonly string[] {
  if (oomKilled || exitCode === 137) return ['build with more memory, such as --memory 2g'];
  if (exitCode === 100)
    return ['run apt-get update in the same RUN line before apt-get install, and check the package names'];
  if (exitCode === 127) return ['install the missing program in an earlier RUN line'];
  if (exitCode === 126) return ['make the file executable with chmod +x, and check its first line (#!)'];
  return ['look at the output above; run the lines before it in a container to try the command by hand'];
}
