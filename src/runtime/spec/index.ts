export { buildSpec, type NamespaceChoice, processFor, type SpecOptions } from './build-spec.ts';
export { availableCapabilities, capabilitiesFor } from './capabilities.ts';
export {
  ALL_CAPABILITIES,
  DEFAULT_PATH,
  DEFAULT_SHM_BYTES,
  MASKED_PATHS,
  READONLY_PATHS,
} from './defaults.ts';
export {
  type MountStub,
  type MountStubs,
  makeContainerFiles,
  makeMountPoints,
  type SpecMount,
} from './mounts.ts';
export type { OciDevice, OciDeviceRule, OciMount, OciProcess, OciSeccomp, OciSpec } from './oci.ts';
export type { ContainerLimits } from './resources.ts';
export { ensureDirInRoot, type RootedPath, readFileInRoot, readLimited, resolveInRoot } from './rooted.ts';
export { defaultSeccomp } from './seccomp.ts';
export { ACCOUNT_FILE_LIMIT_BYTES, type ResolvedUser, resolveUser } from './user.ts';
