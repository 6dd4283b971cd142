import type { Duplex } from 'node:stream';
import type { ImageId } from '#oci/config/index.ts';
import type { Reference } from '#oci/reference/index.ts';
import type { Endpoint, Network } from '#runtime/network/types.ts';
import type { ContainerSettings, EndpointRequest, HostSettings, RestartPolicy } from './wire.ts';

/** A container's state, in Docker's words. */
export type ContainerStatus =
  | 'created'
  | 'running'
  | 'paused'
  | 'restarting'
  | 'removing'
  | 'exited'
  | 'dead';

/** One run of a health check. Times are milliseconds since 1970. */
export interface HealthResult {
  readonly start: number;
  readonly end: number;
  /** -1: it could not be run, or took too long. */
  readonly exitCode: number;
  readonly output: string;
}

/** What a container's health checks say. */
export interface ContainerHealth {
  readonly status: 'starting' | 'healthy' | 'unhealthy';
  readonly failingStreak: number;
  /** The last five, oldest first. */
  readonly log: readonly HealthResult[];
}

/** Where a container stands. Times are milliseconds since 1970, 0: never. */
export interface ContainerState {
  readonly status: ContainerStatus;
  readonly pid: number;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Absent when no health check is set. */
  readonly health?: ContainerHealth | undefined;
}

/** A mount of a container as `inspect` shows it. */
export interface MountPoint {
  readonly type: 'bind' | 'volume' | 'tmpfs';
  /** Name of the volume. */
  readonly name?: string;
  /** Directory or file on the host. */
  readonly source: string;
  readonly destination: string;
  readonly driver?: string;
  readonly mode: string;
  readonly readonly: boolean;
  readonly propagation: string;
  /** Made for this container: `rm -v` and `--rm` remove it. */
  readonly anonymous?: boolean;
  readonly noCopy?: boolean;
  readonly subpath?: string;
  /** mount(8) options of a tmpfs. */
  readonly options?: readonly string[];
  /** A bind whose missing source is made (`-v`), not refused (`--mount`). */
  readonly createSource?: boolean;
}

/** A container's place on a network: what was asked, and what it got while it runs. */
export interface Attachment {
  readonly networkId: string;
  readonly networkName: string;
  readonly aliases: readonly string[];
  readonly ipAddress?: string;
  readonly request: EndpointRequest;
  readonly endpoint?: Endpoint;
}

/** Everything the engine keeps of a container; the document of its row. */
export interface ContainerRecord {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  readonly createdAt: number;
  readonly imageId: ImageId;
  /** As the client named it. */
  readonly imageName: string;
  readonly platform: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly config: ContainerSettings;
  readonly hostConfig: HostSettings;
  readonly mounts: readonly MountPoint[];
  readonly attachments: readonly Attachment[];
  readonly sandboxId?: string | undefined;
  readonly sandboxPath?: string | undefined;
  readonly state: ContainerState;
  readonly restartCount: number;
  /** Stopped by a person: `unless-stopped` leaves it so. */
  readonly stoppedByHand: boolean;
  /** Mount points that the root file system lacked: they are no change of the container's. */
  readonly stubs: readonly string[];
}

/** A request to make a container. */
export interface CreateRequest {
  /** Empty: one is made up. */
  readonly name: string;
  readonly config: ContainerSettings;
  readonly hostConfig: HostSettings;
  readonly endpoints: Readonly<Record<string, EndpointRequest | null>>;
  readonly platform?: string;
}

/** What `wait` waits for. */
export type WaitCondition = 'not-running' | 'next-exit' | 'removed';

/** What `wait` answers. */
export interface WaitResult {
  readonly exitCode: number;
  readonly error: string;
}

/** One document of a log. `time` is RFC 3339 with nanoseconds. */
export interface LogEntry {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
  readonly time: string;
}

/** Which lines of a log are asked for. */
export interface LogQuery {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly follow: boolean;
  /** Last lines only; `undefined`: all. */
  readonly tail: number | undefined;
  /** Nanoseconds since 1970, inclusive. */
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  readonly signal: AbortSignal;
}

/** Streams of an attached client. */
export interface AttachQuery {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly logs: boolean;
  readonly stream: boolean;
  /** Keys after which the client is detached; empty: Docker's `ctrl-p,ctrl-q`. */
  readonly detachKeys: string;
}

/** A request to run a further process. */
export interface ExecRequest {
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly privileged: boolean;
  readonly tty: boolean;
  readonly attachStdin: boolean;
  readonly attachStdout: boolean;
  readonly attachStderr: boolean;
  readonly detachKeys: string;
  readonly consoleSize?: readonly [number, number];
}

/** An exec, from its creation until its container goes. */
export interface Exec {
  readonly id: string;
  readonly containerId: string;
  readonly request: ExecRequest;
  readonly running: boolean;
  readonly exitCode: number | undefined;
  readonly pid: number;
}

/** What `docker cp` learns of a path. */
export interface PathStat {
  readonly name: string;
  readonly size: number;
  /** Go's `os.FileMode` bits. */
  readonly mode: number;
  readonly mtime: string;
  readonly linkTarget: string;
}

/** How an archive is unpacked in a container. */
export interface WriteArchiveOptions {
  /** Refuses a file in place of a directory, and the other way round. */
  readonly noOverwriteDirNonDir: boolean;
  /** What is unpacked belongs to the container's user instead of whom the archive says. */
  readonly copyOwner?: boolean;
  readonly signal: AbortSignal;
}

/** One path that differs from the image. */
export interface PathChange {
  readonly path: string;
  readonly kind: 'modified' | 'added' | 'deleted';
}

/** A commit request. */
export interface CommitRequest {
  readonly container: string;
  readonly reference: Reference | undefined;
  readonly author: string;
  readonly comment: string;
  readonly changes: readonly string[];
  readonly config: ContainerSettings | undefined;
  readonly pause: boolean;
}

/** Takes container events; the engine's event bus fits. */
export interface ContainerEvents {
  publish(event: {
    readonly type: 'container' | 'network' | 'volume' | 'image';
    readonly action: string;
    readonly id: string;
    readonly attributes: Readonly<Record<string, string>>;
  }): void;
}

/** A terminal's size. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/**
 * All containers of an engine. Names are a container's name, id or unique id prefix; unknown ones throw `not_found` with
 * Docker's `No such container: x`. One method per verb of the API, hence more than eight.
 */
export interface ContainerService {
  list(): readonly ContainerRecord[];
  get(nameOrId: string): ContainerRecord;
  find(nameOrId: string): ContainerRecord | undefined;
  create(request: CreateRequest): Promise<{ readonly id: string; readonly warnings: readonly string[] }>;
  /** False: it ran already. */
  start(nameOrId: string): Promise<boolean>;
  /** False: it did not run. `timeoutSeconds` undefined: the container's, or 10; -1: for ever. */
  stop(
    nameOrId: string,
    options: { readonly signal?: string; readonly timeoutSeconds?: number },
  ): Promise<boolean>;
  kill(nameOrId: string, signal: string): Promise<void>;
  restart(
    nameOrId: string,
    options: { readonly signal?: string; readonly timeoutSeconds?: number },
  ): Promise<void>;
  pause(nameOrId: string): Promise<void>;
  unpause(nameOrId: string): Promise<void>;
  rename(nameOrId: string, name: string): void;
  remove(
    nameOrId: string,
    options: { readonly force: boolean; readonly volumes: boolean; readonly link?: boolean },
  ): Promise<void>;
  update(
    nameOrId: string,
    changes: HostSettings & { readonly RestartPolicy?: RestartPolicy },
  ): Promise<readonly string[]>;
  /** Resolves with a promise at once: what is waited for is registered when this returns. */
  wait(nameOrId: string, condition: WaitCondition, signal: AbortSignal): Promise<WaitResult>;
  resize(nameOrId: string, size: TerminalSize): Promise<void>;
  logs(nameOrId: string, query: LogQuery): AsyncIterable<LogEntry>;
  /**
   * Prepares an attachment; `run` joins it with a client's connection and resolves when it ends; `connection`
   * is the socket itself where `client` wraps it. Checks are made
   * before, so that their errors still have a status.
   */
  attach(
    nameOrId: string,
    query: AttachQuery,
  ): Promise<{ readonly tty: boolean; run(client: Duplex, connection?: Duplex): Promise<void> }>;
  createExec(nameOrId: string, request: ExecRequest): Promise<Exec>;
  getExec(id: string): Exec;
  startExec(
    id: string,
    options: { readonly detach: boolean; readonly tty: boolean; readonly size?: readonly [number, number] },
  ): Promise<{ readonly tty: boolean; run(client: Duplex, connection?: Duplex): Promise<void> }>;
  resizeExec(id: string, size: TerminalSize): Promise<void>;
  top(
    nameOrId: string,
    psArgs: string,
  ): Promise<{ readonly titles: readonly string[]; readonly processes: readonly (readonly string[])[] }>;
  changes(nameOrId: string): Promise<readonly PathChange[]>;
  exportTar(nameOrId: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
  statPath(nameOrId: string, path: string): Promise<PathStat>;
  readArchive(
    nameOrId: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly stat: PathStat; readonly tar: AsyncIterable<Uint8Array> }>;
  writeArchive(
    nameOrId: string,
    path: string,
    tar: AsyncIterable<Uint8Array>,
    options: WriteArchiveOptions,
  ): Promise<void>;
  commit(request: CommitRequest): Promise<ImageId>;
  /** One sample in Docker's wire form. */
  stats(nameOrId: string, previous: object | undefined): Promise<object>;
  sizes(nameOrId: string): Promise<{ readonly sizeRw: number; readonly sizeRootFs: number }>;
  /** Ids of containers that have the volume. */
  listVolumeUsers(name: string): readonly string[];
  connect(
    network: Network,
    container: string,
    options: {
      readonly aliases: readonly string[];
      readonly ipAddress: string | undefined;
      /** `name:alias`. */
      readonly links?: readonly string[];
    },
  ): Promise<void>;
  disconnect(network: Network, container: string, options: { readonly force: boolean }): Promise<void>;
  /** Gets ready to answer for names: a network on which containers have some was made. */
  warmNames(): void;
  /** Leaves the containers to the keeper and ends. */
  close(): Promise<void>;
}
