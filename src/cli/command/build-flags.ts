import { CodedError } from '#base/errors/index.ts';
import { parseReference } from '#oci/reference/index.ts';
import type { Flag } from './types.ts';

/** Flags of `slipway build`: those of docker's classic builder. */
export const BUILD_FLAGS: readonly Flag[] = [
  { name: 'add-host', kind: 'list', help: 'Add a custom host-to-IP mapping ("host:ip")' },
  { name: 'build-arg', kind: 'list', help: 'Set build-time variables', check: checkVariable },
  { name: 'cache-from', kind: 'list', help: 'Images to consider as cache sources' },
  {
    name: 'cgroup-parent',
    kind: 'string',
    help: 'Set the parent cgroup for the "RUN" instructions during build',
  },
  { name: 'compress', kind: 'bool', help: 'Compress the build context using gzip' },
  { name: 'cpu-period', kind: 'int', help: 'Limit the CPU CFS (Completely Fair Scheduler) period' },
  { name: 'cpu-quota', kind: 'int', help: 'Limit the CPU CFS (Completely Fair Scheduler) quota' },
  { name: 'cpu-shares', short: 'c', kind: 'int', help: 'CPU shares (relative weight)' },
  { name: 'cpuset-cpus', kind: 'string', help: 'CPUs in which to allow execution (0-3, 0,1)' },
  { name: 'cpuset-mems', kind: 'string', help: 'MEMs in which to allow execution (0-3, 0,1)' },
  { name: 'disable-content-trust', kind: 'bool', default: true, help: 'Skip image verification' },
  { name: 'file', short: 'f', kind: 'string', help: 'Name of the Dockerfile (default is "PATH/Dockerfile")' },
  { name: 'force-rm', kind: 'bool', help: 'Always remove intermediate containers' },
  { name: 'iidfile', kind: 'string', help: 'Write the image ID to the file' },
  { name: 'isolation', kind: 'string', help: 'Container isolation technology' },
  { name: 'label', kind: 'list', help: 'Set metadata for an image' },
  { name: 'memory', short: 'm', kind: 'string', placeholder: 'bytes', help: 'Memory limit' },
  {
    name: 'memory-swap',
    kind: 'string',
    placeholder: 'bytes',
    help: 'Swap limit equal to memory plus swap: -1 to enable unlimited swap',
  },
  {
    name: 'network',
    kind: 'string',
    default: 'default',
    help: 'Set the networking mode for the RUN instructions during build',
  },
  { name: 'no-cache', kind: 'bool', help: 'Do not use cache when building the image' },
  { name: 'platform', kind: 'string', help: 'Set target platform for build' },
  {
    name: 'progress',
    kind: 'string',
    default: 'auto',
    help: 'Accepted for compatibility; the output is plain text',
  },
  { name: 'pull', kind: 'bool', help: 'Always attempt to pull a newer version of the image' },
  {
    name: 'quiet',
    short: 'q',
    kind: 'bool',
    help: 'Suppress the build output and print image ID on success',
  },
  {
    name: 'rm',
    kind: 'bool',
    default: true,
    help: 'Remove intermediate containers after a successful build',
  },
  { name: 'security-opt', kind: 'list', help: 'Security options' },
  { name: 'shm-size', kind: 'string', placeholder: 'bytes', help: 'Size of "/dev/shm"' },
  { name: 'squash', kind: 'bool', help: 'Squash newly built layers into a single new layer' },
  {
    name: 'tag',
    short: 't',
    kind: 'list',
    help: 'Name and optionally a tag in the "name:tag" format',
    check: parseReference,
  },
  { name: 'target', kind: 'string', help: 'Set the target build stage to build' },
  { name: 'ulimit', kind: 'list', help: 'Ulimit options' },
];

function checkVariable(text: string): void {
  if (text !== '' && !text.startsWith('=')) return;
  throw new CodedError('invalid_argument', `invalid environment variable: ${text}`, {
    help: {
      id: 'cli/variable',
      cause: 'the name before the equals sign is missing',
      fix: ['--build-arg NAME=VALUE'],
    },
  });
}
