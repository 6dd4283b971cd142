export { cgroupDirs, killCgroup, readOomKills, removeCgroup } from './cgroup.ts';
export { createOciRuntime, detectCgroups, findProgram, type OciRuntime } from './oci-runtime.ts';
export { clarifyStart, execFailure, readRuntimeError, startFailure } from './start-failure.ts';
export { createStepRuntime, type StepRuntimeOptions } from './step-runtime.ts';
