import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { openPipe } from '#base/posix/index.ts';
import type { NetworkStore, Sandbox } from '#runtime/network/types.ts';
import {
  ACCOUNT_FILE_LIMIT_BYTES,
  availableCapabilities,
  buildSpec,
  DEFAULT_PATH,
  ensureDirInRoot,
  makeMountPoints,
  type NamespaceChoice,
  readFileInRoot,
  resolveUser,
  type SpecMount,
} from '#runtime/spec/index.ts';
import { killCgroup, prepareMemoryGroup, readMemoryRefusals, readOomKills, removeCgroup } from './cgroup.ts';
import { detectCgroups } from './oci-runtime.ts';
import { readRuntimeError, startFailure } from './start-failure.ts';
import type { ExitStatus, StepRuntime, StepSpec } from './types.ts';

/** Processes a step may have when nothing is said: enough for any compiler, too few for a fork bomb. */
const DEFAULT_STEP_PIDS = 4096;
/** How long output may go on after the process has ended, for descriptors that leaked out of its namespace. */
const OUTPUT_GRACE_MS = 2000;

/** Options of `createStepRuntime`. */
export interface StepRuntimeOptions {
  /** The OCI runtime, as `createOciRuntime` found it. */
  readonly runtimePath: string;
  /** Bundles and the runtime's own state; best on a tmpfs. Belongs to this runtime alone. */
  readonly stateDir: string;
  /** Gives steps the bridge network. Without it a step that asks for the default network gets the host's. */
  readonly networks?: NetworkStore;
  /** Parent of the steps' cgroups. */
  readonly cgroupParent?: string;
}

/** Runs build steps as direct children of this process. Leftovers of an earlier process are removed at once. */
export function createStepRuntime(options: StepRuntimeOptions): StepRuntime {
  const context: Context = {
    ...options,
    parent: options.cgroupParent ?? '/slipway-build',
    runtimeRoot: join(options.stateDir, 'runtime'),
  };
  // A step outlives a daemon that was killed: its process is ended now, not when somebody builds again.
  const cleaned = removeLeftovers(context);
  cleaned.catch(() => {});
  return {
    async run(step, io) {
      await cleaned;
      io.signal?.throwIfAborted();
      return runStep(context, step, io);
    },
  };
}

interface Context extends StepRuntimeOptions {
  readonly parent: string;
  readonly runtimeRoot: string;
}

type Io = Parameters<StepRuntime['run']>[1];

async function removeLeftovers(context: Context): Promise<void> {
  mkdirSync(context.runtimeRoot, { recursive: true, mode: 0o700 });
  for (const id of readdirSync(context.runtimeRoot)) {
    await once(spawn(context.runtimePath, ['--root', context.runtimeRoot, 'delete', '--force', id]), 'exit');
    removeCgroup(`${context.parent}/${id}`);
  }
  rmSync(join(context.stateDir, 'bundles'), { recursive: true, force: true });
}

async function runStep(context: Context, step: StepSpec, io: Io): Promise<ExitStatus> {
  if (!/^[\w.-]+$/.test(step.id)) throw new CodedError('invalid_argument', `"${step.id}" cannot name a step`);
  const bundle = join(context.stateDir, 'bundles', step.id);
  mkdirSync(bundle, { recursive: true, mode: 0o700 });
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rmSync(bundle, { recursive: true, force: true }));
  const network = await prepareNetwork(context, step, cleanup);
  const group = `${context.parent}/${step.id}`;
  const memoryBytes = step.limits?.memoryBytes ?? 0;
  if (memoryBytes > 0 && detectCgroups() !== 'v2') prepareMemoryGroup(group, memoryBytes);
  const cgroupsPath = memoryBytes > 0 ? `${group}/step` : group;
  const spec = stepSpec(step, cgroupsPath, network, bundle);
  const stubs = makeMountPoints(step.rootfs, spec.mounts);
  cleanup.defer(() => stubs.remove());
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec), { mode: 0o600 });
  cleanup.defer(() => removeRuntimeState(context, step.id, group));
  return await execute(context, step.id, bundle, group, io);
}

interface StepNetwork {
  readonly namespace: NamespaceChoice;
  readonly resolvConf: string;
  readonly address: string | undefined;
}

async function prepareNetwork(
  context: Context,
  step: StepSpec,
  cleanup: AsyncDisposableStack,
): Promise<StepNetwork> {
  const hostResolv = (): string => readMaybe('/etc/resolv.conf');
  if (step.network === 'none') return { namespace: 'private', resolvConf: '', address: undefined };
  const networks = context.networks;
  if (step.network === 'host' || networks === undefined) {
    return { namespace: 'host', resolvConf: hostResolv(), address: undefined };
  }
  const bridge = networks.getNetwork('bridge');
  const sandbox: Sandbox = await networks.acquireSandbox();
  cleanup.defer(() => networks.releaseSandbox(sandbox));
  const endpoint = await networks.attach(sandbox, {
    networkId: bridge.id,
    containerId: step.id,
    containerName: step.id,
    ports: [],
  });
  const resolver = networks.resolverFor(bridge.id);
  const lines = [
    ...resolver.nameservers.map((server) => `nameserver ${server}`),
    ...(resolver.search.length > 0 ? [`search ${resolver.search.join(' ')}`] : []),
    ...(resolver.options.length > 0 ? [`options ${resolver.options.join(' ')}`] : []),
  ];
  return {
    namespace: { path: sandbox.path },
    resolvConf: `${lines.join('\n')}\n`,
    address: endpoint.ipAddress,
  };
}

function stepSpec(step: StepSpec, cgroupsPath: string, network: StepNetwork, bundle: string) {
  const user = resolveUser(step.user, (path) => readFileInRoot(step.rootfs, path, ACCOUNT_FILE_LIMIT_BYTES));
  const cwd = ensureDirInRoot(step.rootfs, step.cwd === '' ? '/' : step.cwd);
  const hostname = step.hostname ?? step.id.slice(0, 12);
  const onHost = network.namespace === 'host';
  const files = writeNetworkFiles(step, network, hostname, bundle);
  return buildSpec({
    rootfs: step.rootfs,
    args: step.args,
    env: stepEnv(step.env, hostname, user.home),
    cwd,
    user,
    hostname,
    cgroupsPath,
    namespaces: { network: network.namespace, ...(onHost ? {} : {}) },
    mounts: [...files, ...(step.mounts ?? []).map(toSpecMount)],
    limits: { ...step.limits, pids: step.limits?.pids ?? DEFAULT_STEP_PIDS },
    ...(step.privileged === undefined ? {} : { privileged: step.privileged }),
    ...(step.privileged === true ? { available: availableCapabilities() } : {}),
  });
}

function stepEnv(env: readonly string[], hostname: string, home: string): readonly string[] {
  const has = (name: string): boolean => env.some((entry) => entry.startsWith(`${name}=`));
  return [
    ...(has('PATH') ? [] : [DEFAULT_PATH]),
    ...(has('HOSTNAME') ? [] : [`HOSTNAME=${hostname}`]),
    ...env,
    ...(has('HOME') ? [] : [`HOME=${home}`]),
  ];
}

function writeNetworkFiles(
  step: StepSpec,
  network: StepNetwork,
  hostname: string,
  bundle: string,
): readonly SpecMount[] {
  const hosts = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'ff00::0\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...(step.extraHosts ?? []).map(hostsLine),
    `${network.address ?? '127.0.1.1'}\t${hostname}`,
  ];
  const files = {
    'resolv.conf': network.resolvConf,
    hosts: `${hosts.join('\n')}\n`,
    hostname: `${hostname}\n`,
  };
  return Object.entries(files).map(([name, text]) => {
    const source = join(bundle, name);
    writeFileSync(source, text);
    // Whatever the daemon's umask: every user of the container reads these.
    chmodSync(source, 0o644);
    return { type: 'bind', source, target: `/etc/${name}`, readonly: false };
  });
}

/** `name:address`, the address possibly with colons of its own. */
function hostsLine(entry: string): string {
  const at = entry.search(/[:=]/);
  const address = entry.slice(at + 1).replace(/^\[(.*)\]$/, '$1');
  return `${address}\t${entry.slice(0, at)}`;
}

function toSpecMount(mount: NonNullable<StepSpec['mounts']>[number]): SpecMount {
  if (mount.type === 'bind') {
    return { type: 'bind', source: mount.source ?? '', target: mount.target, readonly: mount.readonly };
  }
  return {
    type: 'tmpfs',
    target: mount.target,
    readonly: mount.readonly,
    options: [
      'nosuid',
      'nodev',
      ...(mount.modeOctal === undefined ? ['mode=1777'] : [`mode=${mount.modeOctal}`]),
      ...(mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`]),
    ],
  };
}

async function execute(
  context: Context,
  id: string,
  bundle: string,
  cgroupsPath: string,
  io: Io,
): Promise<ExitStatus> {
  const [pidFile, log] = [join(bundle, 'pid'), join(bundle, 'runtime.log')];
  const outputs = [openPipe(), openPipe()] as const;
  const child = spawn(
    context.runtimePath,
    [
      '--root',
      context.runtimeRoot,
      '--log',
      log,
      '--log-format',
      'json',
      'run',
      '--bundle',
      bundle,
      '--pid-file',
      pidFile,
      id,
    ],
    {
      stdio: ['ignore', outputs[0].writeFd, outputs[1].writeFd],
      env: { PATH: process.env['PATH'] },
      detached: true,
    },
  );
  for (const { writeFd } of outputs) closeSync(writeFd);
  const held: Uint8Array[] = [];
  let started = false;
  const ends = [
    readOutput(outputs[0].readFd, (chunk) => io.onOutput('stdout', chunk)),
    readOutput(outputs[1].readFd, (chunk) => {
      // Until the process has started, stderr may be the runtime's own message: it goes into the error instead.
      started ||= existsSync(pidFile);
      if (started) for (const early of [...held.splice(0), chunk]) io.onOutput('stderr', early);
      else held.push(Uint8Array.from(chunk));
    }),
  ];
  const onAbort = (): void => void killStep(pidFile, child, cgroupsPath);
  io.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const exitCode = await exitOf(child, context.runtimePath);
    await Promise.race([
      Promise.all(ends.map((end) => end.done)),
      delay(OUTPUT_GRACE_MS, undefined, { ref: false }),
    ]);
    for (const end of ends) end.close();
    io.signal?.throwIfAborted();
    if (!existsSync(pidFile)) {
      throw startFailure(readRuntimeError(log) ?? Buffer.concat(held).toString('utf8').trim());
    }
    for (const early of held) io.onOutput('stderr', early);
    return {
      exitCode,
      oomKilled: exitCode === 137 && (readOomKills(cgroupsPath) > 0 || readMemoryRefusals(cgroupsPath) > 0),
    };
  } finally {
    io.signal?.removeEventListener('abort', onAbort);
    for (const end of ends) end.close();
  }
}

async function exitOf(child: ReturnType<typeof spawn>, path: string): Promise<number> {
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    return signal === null ? (code ?? 0) : 137;
  } catch (error) {
    throw new CodedError('failed_precondition', `cannot run "${path}": ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function readOutput(
  fd: number,
  onChunk: (chunk: Uint8Array) => void,
): { readonly done: Promise<void>; close(): void } {
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on('data', onChunk);
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once('close', () => resolve());
  socket.on('error', () => socket.destroy());
  return { done: promise, close: () => socket.destroy() };
}

/** Kills the first process of the step, and so its whole namespace; one that is still being started as soon as it is known. */
async function killStep(
  pidFile: string,
  child: ReturnType<typeof spawn>,
  cgroupsPath: string,
): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const pid = Number(readMaybe(pidFile));
    if (pid > 0) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if (!isSystemError(error, 'ESRCH')) throw error;
      }
      killCgroup(cgroupsPath);
      return;
    }
    await delay(2);
  }
}

/** `runc run` cleans up after itself; what it could not (it was killed) is removed here. */
async function removeRuntimeState(context: Context, id: string, cgroupsPath: string): Promise<void> {
  if (existsSync(join(context.runtimeRoot, id))) {
    killCgroup(cgroupsPath);
    await once(spawn(context.runtimePath, ['--root', context.runtimeRoot, 'delete', '--force', id]), 'exit');
  }
  removeCgroup(cgroupsPath);
}

function readMaybe(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
