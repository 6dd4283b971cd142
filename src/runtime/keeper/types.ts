import type { Duplex } from 'node:stream';
import type { NamesAnswer, NamesChange } from '#runtime/names/types.ts';

/** Where a container's log goes: Docker's json-file lines, rotated. */
export interface LogTarget {
  readonly path: string;
  /** A file larger than this is rotated; 0: never. */
  readonly maxBytes: number;
  /** Files kept, the current one included. */
  readonly maxFiles: number;
}

/** The OCI runtime as the keeper calls it. */
export interface RuntimeAddress {
  readonly path: string;
  /** Its `--root`. */
  readonly root: string;
}

/** Rows and columns of a terminal. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** How the streams of a process are connected. */
export interface StreamOptions {
  readonly tty: boolean;
  /** Keep a stdin open for those who attach; else it is /dev/null. */
  readonly openStdin: boolean;
  /** Close it when the first client that attached to it is done. */
  readonly stdinOnce: boolean;
  readonly size?: TerminalSize;
}

/** A container to start; its bundle is complete and its root file system mounted. */
export interface KeeperStart {
  readonly id: string;
  readonly runtime: RuntimeAddress;
  readonly bundle: string;
  readonly cgroupsPath: string;
  readonly streams: StreamOptions;
  readonly log?: LogTarget;
  /** The exit record, written durably before anybody is told. */
  readonly exitFile: string;
}

/** A further process in a running container. `process` is the OCI process document. */
export interface KeeperExec {
  readonly id: string;
  readonly containerId: string;
  readonly runtime: RuntimeAddress;
  readonly processFile: string;
  readonly streams: StreamOptions;
  /** Its process group is killed when it still runs after this. */
  readonly killAfterMs?: number;
}

/** How a container ended. Times are milliseconds since 1970. */
export interface ExitRecord {
  readonly id: string;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly startedAt: number;
  readonly finishedAt: number;
}

/** A process the keeper knows. */
export interface KeptProcess {
  readonly id: string;
  /** Set for an exec. */
  readonly containerId?: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly exit?: ExitRecord;
}

/** What the keeper tells without being asked. */
export type KeeperEvent = { readonly kind: 'exit'; readonly containerId?: string; readonly exit: ExitRecord };

/** Which streams a client wants. `framed`: Docker's 8-byte headers; not with a terminal. */
export interface AttachRequest {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly framed: boolean;
}

/**
 * The process that holds the containers' pipes, terminals and exit codes. It outlives the daemon; a new daemon connects to
 * the one that is there. A call fails with `unavailable` when the keeper is gone.
 */
export interface Keeper {
  readonly pid: number;
  /** @throws {CodedError} `invalid_argument` with the runtime's own words when the process cannot be started. */
  start(request: KeeperStart): Promise<{ readonly pid: number; readonly startedAt: number }>;
  exec(request: KeeperExec): Promise<{ readonly pid: number; readonly startedAt: number }>;
  /**
   * The streams of a container or exec, started or yet to be: its `end` is the end of output, `end()` closes stdin. The stream is
   * paused.
   */
  attach(id: string, request: AttachRequest): Promise<Duplex>;
  resize(id: string, size: TerminalSize): Promise<void>;
  /** With `group`, to its whole process group. @throws `not_found` when it does not run. */
  signal(id: string, signal: number, options?: { readonly group?: boolean }): Promise<void>;
  list(): Promise<readonly KeptProcess[]>;
  /** Drops what is known of an ended process; with `abandon`, also ends those who wait for one that never started. */
  forget(id: string, options?: { readonly abandon?: boolean }): Promise<void>;
  /**
   * Changes which names containers can look up, and how; answered for as long as the keeper lives.
   * @throws `unimplemented` by a keeper of an earlier version.
   */
  names(change: NamesChange): Promise<NamesAnswer>;
  /** Events from now on. The returned function ends it. */
  subscribe(listener: (event: KeeperEvent) => void): () => void;
  /** Called once when the connection to the keeper is lost. */
  onLost(listener: () => void): void;
  /** Ends the connection; the keeper goes on. */
  close(): void;
  /** Ends the keeper when nothing runs. @throws `failed_precondition` while something does. */
  shutdown(): Promise<void>;
}
