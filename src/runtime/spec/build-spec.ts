import { capabilitiesFor } from './capabilities.ts';
import { DEFAULT_SHM_BYTES, defaultMounts, MASKED_PATHS, READONLY_PATHS } from './defaults.ts';
import { mergeMounts, type SpecMount } from './mounts.ts';
import type { OciDevice, OciDeviceRule, OciNamespace, OciProcess, OciSeccomp, OciSpec } from './oci.ts';
import { type ContainerLimits, resourcesFor, rlimitsFor } from './resources.ts';
import { defaultSeccomp } from './seccomp.ts';
import type { ResolvedUser } from './user.ts';

/** Where a namespace comes from: a new one, the host's, or that behind a path. */
export type NamespaceChoice = 'private' | 'host' | { readonly path: string };

/** Everything a runtime config is made from. Paths and users are resolved already. */
export interface SpecOptions {
  readonly rootfs: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: ResolvedUser;
  readonly hostname: string;
  readonly cgroupsPath: string;
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly readonlyRootfs?: boolean;
  readonly privileged?: boolean;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly available?: bigint;
  readonly noNewPrivileges?: boolean;
  readonly seccomp?: 'default' | 'unconfined' | OciSeccomp;
  readonly namespaces: {
    readonly network: NamespaceChoice;
    readonly pid?: NamespaceChoice;
    readonly ipc?: NamespaceChoice;
    readonly uts?: NamespaceChoice;
    readonly cgroup?: NamespaceChoice;
  };
  readonly mounts?: readonly SpecMount[];
  readonly devices?: readonly OciDevice[];
  readonly deviceRules?: readonly OciDeviceRule[];
  readonly limits?: ContainerLimits;
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly oomScoreAdj?: number;
  /** `undefined`: Docker's lists; empty: none (`systempaths=unconfined`). */
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly rootfsPropagation?: string;
}

/**
 * The runtime config of a container: Docker's defaults, changed by `options`. Inheritable and ambient capabilities are
 * always empty, and a user other than root starts without effective ones.
 * @throws {CodedError} `invalid_argument` for an unknown capability or a bad mount target.
 */
export function buildSpec(options: SpecOptions): OciSpec {
  const privileged = options.privileged === true;
  const limits = options.limits ?? {};
  const shmSizeBytes = limits.shmSizeBytes || DEFAULT_SHM_BYTES;
  const defaults = defaultMounts({ privileged, shmSizeBytes });
  const process_ = processFor(options);
  const seccomp = seccompFor(options, process_.capabilities.bounding);
  const sharesUts = options.namespaces.uts !== undefined && options.namespaces.uts !== 'private';
  return {
    ociVersion: '1.0.2',
    process: process_,
    root: { path: options.rootfs, readonly: options.readonlyRootfs === true },
    ...(sharesUts ? {} : { hostname: options.hostname }),
    mounts: mergeMounts(defaults, options.mounts ?? []),
    linux: {
      namespaces: namespacesFor(options.namespaces),
      cgroupsPath: options.cgroupsPath,
      resources: resourcesFor(limits, {
        privileged,
        devices: options.devices ?? [],
        deviceRules: options.deviceRules ?? [],
      }),
      ...(options.devices === undefined || options.devices.length === 0 ? {} : { devices: options.devices }),
      maskedPaths: options.maskedPaths ?? (privileged ? [] : MASKED_PATHS),
      readonlyPaths: options.readonlyPaths ?? (privileged ? [] : READONLY_PATHS),
      ...(seccomp === undefined ? {} : { seccomp }),
      ...(options.sysctls === undefined ? {} : { sysctl: options.sysctls }),
      ...(options.rootfsPropagation === undefined ? {} : { rootfsPropagation: options.rootfsPropagation }),
    },
  };
}

/** The process part alone, as `exec` needs it. */
export function processFor(
  options: Pick<
    SpecOptions,
    | 'args'
    | 'env'
    | 'cwd'
    | 'user'
    | 'terminal'
    | 'consoleSize'
    | 'privileged'
    | 'capAdd'
    | 'capDrop'
    | 'available'
    | 'noNewPrivileges'
    | 'limits'
    | 'oomScoreAdj'
  >,
): OciProcess {
  const bounding = capabilitiesFor({
    privileged: options.privileged === true,
    ...(options.capAdd === undefined ? {} : { add: options.capAdd }),
    ...(options.capDrop === undefined ? {} : { drop: options.capDrop }),
    ...(options.available === undefined ? {} : { available: options.available }),
  });
  const held = options.user.uid === 0 ? bounding : [];
  const rlimits = rlimitsFor(options.limits ?? {});
  return {
    terminal: options.terminal === true,
    ...(options.consoleSize === undefined ? {} : { consoleSize: options.consoleSize }),
    user: {
      uid: options.user.uid,
      gid: options.user.gid,
      additionalGids: options.user.additionalGids,
    },
    args: options.args,
    env: options.env,
    cwd: options.cwd,
    capabilities: { bounding, effective: held, permitted: held, inheritable: [], ambient: [] },
    ...(rlimits.length === 0 ? {} : { rlimits }),
    noNewPrivileges: options.noNewPrivileges === true,
    // Always said: what starts it protects itself, and that must not be inherited.
    oomScoreAdj: options.oomScoreAdj ?? 0,
  };
}

function seccompFor(options: SpecOptions, capabilities: readonly string[]): OciSeccomp | undefined {
  const wanted = options.seccomp ?? 'default';
  if (wanted === 'unconfined') return undefined;
  if (wanted !== 'default') return wanted;
  return options.privileged === true ? undefined : defaultSeccomp(capabilities);
}

function namespacesFor(choices: SpecOptions['namespaces']): readonly OciNamespace[] {
  const list: OciNamespace[] = [{ type: 'mount' }];
  for (const type of ['network', 'pid', 'ipc', 'uts', 'cgroup'] as const) {
    const choice = choices[type] ?? (type === 'cgroup' ? 'host' : 'private');
    if (choice === 'private') list.push({ type });
    else if (choice !== 'host') list.push({ type, path: choice.path });
  }
  return list;
}
