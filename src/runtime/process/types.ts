/** Limits of a process tree; zero or absent means unlimited. Field meanings are Docker's. */
export interface ResourceLimits {
  readonly memoryBytes?: number;
  readonly memorySwapBytes?: number;
  readonly cpuShares?: number;
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pids?: number;
  readonly shmSizeBytes?: number;
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly cgroupParent?: string;
}

/** A mount inside the container. */
export interface StepMount {
  readonly type: 'bind' | 'tmpfs';
  readonly source?: string;
  readonly target: string;
  readonly readonly: boolean;
  readonly sizeBytes?: number;
  readonly modeOctal?: string;
}

/** One build step (RUN) as a process in a mounted tree. */
export interface StepSpec {
  readonly id: string;
  /** Mounted root file system, writable. */
  readonly rootfs: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  /** As in USER: `name`, `uid`, `name:group`, … resolved inside the root. Empty: root. */
  readonly user: string;
  readonly network: 'none' | 'host' | 'default';
  readonly hostname?: string;
  readonly extraHosts?: readonly string[];
  readonly mounts?: readonly StepMount[];
  readonly limits?: ResourceLimits;
  readonly privileged?: boolean;
}

/** How a process ended. */
export interface ExitStatus {
  readonly exitCode: number;
  readonly oomKilled: boolean;
}

/**
 * Runs one process to its end with Docker's default capabilities, seccomp profile and masked paths, and no leaked
 * descriptors. Aborting kills the whole process tree; nothing stays mounted, no cgroup or namespace is left.
 * @throws {CodedError} `invalid_argument` when the command cannot be started (missing binary, bad user, …).
 */
export interface StepRuntime {
  run(
    step: StepSpec,
    io: {
      readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<ExitStatus>;
}
