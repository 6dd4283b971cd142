/** What is measured of running containers: processes and resources, from /proc and the cgroups of either version. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CodedError, isSystemError } from '#base/errors/index.ts';
import { cgroupDirs } from '#runtime/process/index.ts';
import { type Context, cgroupsPathOf, isRunning } from './context.ts';
import type { ContainerRecord } from './types.ts';

const run = promisify(execFile);
const ROOT = '/sys/fs/cgroup';

/** Processes of a container by the host's `ps`. @throws {CodedError} `conflict` when it does not run. */
export async function listProcesses(
  record: ContainerRecord,
  psArgs: string,
): Promise<{ readonly titles: readonly string[]; readonly processes: readonly (readonly string[])[] }> {
  if (!isRunning(record)) throw new CodedError('conflict', `container ${record.id} is not running`);
  const pids = new Set(listPids(cgroupsPathOf(record)).map(String));
  pids.add(String(record.state.pid));
  const output = await runPs(psArgs === '' ? ['-ef'] : psArgs.split(/\s+/).filter(Boolean));
  const [head = '', ...lines] = output.trimEnd().split('\n');
  const titles = head.trim().split(/\s+/);
  const pidAt = titles.indexOf('PID');
  if (pidAt < 0) throw new CodedError('invalid_argument', "Couldn't find PID field in ps output");
  const processes = lines
    .map((line) => {
      const fields = line.trim().split(/\s+/);
      return [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(' ')];
    })
    .filter((fields) => pids.has(fields[pidAt] ?? ''));
  return { titles, processes };
}

async function runPs(args: readonly string[]): Promise<string> {
  try {
    return (await run('ps', [...args], { maxBuffer: 64 * 1024 * 1024 })).stdout;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) {
      throw new CodedError('failed_precondition', 'cannot list processes: ps is not installed', {
        help: { id: 'ps-missing', fix: ['apt-get install --yes procps'] },
      });
    }
    // The first line says why; the rest is its manual.
    const said =
      (error as { readonly stderr?: string }).stderr?.split('\n', 1)[0] || (error as Error).message;
    throw new CodedError('invalid_argument', `ps: ${said}`, { cause: error });
  }
}

function listPids(path: string): readonly number[] {
  const pids = new Set<number>();
  for (const dir of cgroupDirs(path)) {
    for (const line of readText(join(dir, 'cgroup.procs')).split('\n'))
      if (line !== '') pids.add(Number(line));
  }
  return [...pids];
}

/** One sample in the wire form of `GET /containers/{id}/stats`; `previous` becomes its `precpu_stats`. */
export function sampleStats(context: Context, record: ContainerRecord, previous: object | undefined): object {
  const before = previous as { readonly cpu_stats?: object; readonly read?: string } | undefined;
  const base = {
    read: new Date().toISOString(),
    preread: before?.read ?? '0001-01-01T00:00:00Z',
    name: `/${record.name}`,
    id: record.id,
    num_procs: 0,
    storage_stats: {},
    precpu_stats: before?.cpu_stats ?? emptyCpu(),
  };
  if (!isRunning(record)) {
    return { ...base, pids_stats: {}, blkio_stats: blkio([]), cpu_stats: emptyCpu(), memory_stats: {} };
  }
  const path = cgroupsPathOf(record);
  const v2 = context.runtime.cgroups === 'v2';
  return {
    ...base,
    pids_stats: pidsStats(path, v2),
    blkio_stats: v2 ? blkioV2(path) : blkio(blkioV1(path)),
    cpu_stats: v2 ? cpuV2(path) : cpuV1(path),
    memory_stats: v2 ? memoryV2(path) : memoryV1(path),
    ...networkStats(record),
  };
}

function emptyCpu(): object {
  return {
    cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
    throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
  };
}

function cpuStats(
  total: number,
  user: number,
  system: number,
  throttling: Readonly<Record<string, number>>,
): object {
  return {
    cpu_usage: { total_usage: total, usage_in_kernelmode: system, usage_in_usermode: user },
    system_cpu_usage: systemCpuNs(),
    online_cpus: availableParallelism(),
    throttling_data: {
      periods: throttling['nr_periods'] ?? 0,
      throttled_periods: throttling['nr_throttled'] ?? 0,
      throttled_time: throttling['throttled_time'] ?? (throttling['throttled_usec'] ?? 0) * 1000,
    },
  };
}

function cpuV1(path: string): object {
  const usage = readNumber(join(ROOT, 'cpuacct', path, 'cpuacct.usage'));
  const split = readPairs(join(ROOT, 'cpuacct', path, 'cpuacct.stat'));
  const tick = 10_000_000;
  const throttling = readPairs(join(ROOT, 'cpu', path, 'cpu.stat'));
  return cpuStats(usage, (split['user'] ?? 0) * tick, (split['system'] ?? 0) * tick, throttling);
}

function cpuV2(path: string): object {
  const stat = readPairs(join(ROOT, path, 'cpu.stat'));
  const ns = (name: string): number => (stat[name] ?? 0) * 1000;
  return cpuStats(ns('usage_usec'), ns('user_usec'), ns('system_usec'), stat);
}

/** CPU time of the whole host: what percentages are taken of. */
function systemCpuNs(): number {
  const fields = /^cpu\s+(.*)$/m.exec(readText('/proc/stat'))?.[1]?.trim().split(/\s+/).map(Number) ?? [];
  return fields.slice(0, 7).reduce((sum, ticks) => sum + ticks, 0) * 10_000_000;
}

function memoryV1(path: string): object {
  const dir = join(ROOT, 'memory', path);
  return {
    usage: readNumber(join(dir, 'memory.usage_in_bytes')),
    max_usage: readNumber(join(dir, 'memory.max_usage_in_bytes')),
    failcnt: readNumber(join(dir, 'memory.failcnt')),
    stats: readPairs(join(dir, 'memory.stat')),
    limit: withinHost(readNumber(join(dir, 'memory.limit_in_bytes'))),
  };
}

function memoryV2(path: string): object {
  const dir = join(ROOT, path);
  return {
    usage: readNumber(join(dir, 'memory.current')),
    stats: readPairs(join(dir, 'memory.stat')),
    limit: withinHost(readNumber(join(dir, 'memory.max'), Number.MAX_SAFE_INTEGER)),
  };
}

function withinHost(limit: number): number {
  const total = Number(/^MemTotal:\s+(\d+)/m.exec(readText('/proc/meminfo'))?.[1] ?? 0) * 1024;
  return Math.min(limit, total);
}

function pidsStats(path: string, v2: boolean): object {
  const dir = v2 ? join(ROOT, path) : join(ROOT, 'pids', path);
  const limit = readNumber(join(dir, 'pids.max'), 0);
  return { current: readNumber(join(dir, 'pids.current')), ...(limit > 0 ? { limit } : {}) };
}

interface BlkioEntry {
  readonly major: number;
  readonly minor: number;
  readonly op: string;
  readonly value: number;
}

function blkio(entries: readonly BlkioEntry[]): object {
  return {
    io_service_bytes_recursive: entries,
    io_serviced_recursive: null,
    io_queue_recursive: null,
    io_service_time_recursive: null,
    io_wait_time_recursive: null,
    io_merged_recursive: null,
    io_time_recursive: null,
    sectors_recursive: null,
  };
}

function blkioV1(path: string): readonly BlkioEntry[] {
  const text = readText(join(ROOT, 'blkio', path, 'blkio.throttle.io_service_bytes_recursive'));
  return [...text.matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm)].map(([, major, minor, op, value]) => ({
    major: Number(major),
    minor: Number(minor),
    op: op ?? '',
    value: Number(value),
  }));
}

function blkioV2(path: string): object {
  const text = readText(join(ROOT, path, 'io.stat'));
  const entries = [...text.matchAll(/^(\d+):(\d+) .*?rbytes=(\d+) wbytes=(\d+)/gm)].flatMap(
    ([, major, minor, read, write]) => [
      { major: Number(major), minor: Number(minor), op: 'read', value: Number(read) },
      { major: Number(major), minor: Number(minor), op: 'write', value: Number(write) },
    ],
  );
  return blkio(entries);
}

function networkStats(record: ContainerRecord): { readonly networks?: object } {
  if (record.hostConfig.NetworkMode === 'host') return {};
  const networks: Record<string, object> = {};
  for (const line of readText(`/proc/${record.state.pid}/net/dev`).split('\n').slice(2)) {
    const [name = '', rest = ''] = line.split(':');
    if (rest === '' || name.trim() === 'lo') continue;
    const fields = rest.trim().split(/\s+/).map(Number);
    const at = (index: number): number => fields[index] ?? 0;
    networks[name.trim()] = {
      rx_bytes: at(0),
      rx_packets: at(1),
      rx_errors: at(2),
      rx_dropped: at(3),
      tx_bytes: at(8),
      tx_packets: at(9),
      tx_errors: at(10),
      tx_dropped: at(11),
    };
  }
  return Object.keys(networks).length === 0 ? {} : { networks };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readNumber(path: string, fallback = 0): number {
  const text = readText(path).trim();
  return /^\d+$/.test(text) ? Number(text) : fallback;
}

function readPairs(path: string): Readonly<Record<string, number>> {
  return Object.fromEntries(
    [...readText(path).matchAll(/^(\w+) (\d+)$/gm)].map(([, name, value]) => [name ?? '', Number(value)]),
  );
}
