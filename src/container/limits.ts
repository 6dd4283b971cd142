/** Docker's rules for the resources of a container, with its texts. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { CodedError } from '#base/errors/index.ts';
import type { HostSettings } from './wire.ts';

const MIN_MEMORY_BYTES = 6 * 1024 * 1024;
const ONLINE_CPUS = '/sys/devices/system/cpu/online';
const ONLINE_MEMORY_NODES = '/sys/devices/system/node/online';

/** @throws {CodedError} `invalid_argument` for limits that contradict each other or that this host cannot give. */
export function checkLimits(asked: HostSettings): void {
  checkMemory(asked);
  checkCpus(asked);
  checkSet('CPUs', 'cpuset cpus', asked.CpusetCpus, ONLINE_CPUS);
  checkSet('memory nodes', 'cpuset mems', asked.CpusetMems, ONLINE_MEMORY_NODES);
  if ((asked.ShmSize ?? 0) < 0) throw refused('SHM size can not be less than 0');
  const score = asked.OomScoreAdj ?? 0;
  if (score < -1000 || score > 1000)
    throw refused(`Invalid value ${score}, range for oom score adj is [-1000, 1000]`);
}

function checkMemory(asked: HostSettings): void {
  const { Memory: memory = 0, MemorySwap: swap = 0, MemoryReservation: reserved = 0 } = asked;
  if (memory > 0 && memory < MIN_MEMORY_BYTES) throw refused('Minimum memory limit allowed is 6MB');
  if (memory > 0 && swap > 0 && swap < memory)
    throw refused('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (memory === 0 && swap > 0)
    throw refused('You should always set the Memory limit when using Memoryswap limit, see usage');
  const swappiness = asked.MemorySwappiness ?? -1;
  if (swappiness < -1 || swappiness > 100)
    throw refused(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  if (reserved > 0 && reserved < MIN_MEMORY_BYTES) throw refused('Minimum memory reservation allowed is 6MB');
  if (memory > 0 && reserved > memory)
    throw refused('Minimum memory limit can not be less than memory reservation limit, see usage');
}

function checkCpus(asked: HostSettings): void {
  const { NanoCpus: nano = 0, CpuPeriod: period = 0, CpuQuota: quota = 0, CpuShares: shares = 0 } = asked;
  if (nano > 0 && period > 0)
    throw refused('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (nano > 0 && quota > 0) throw refused('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  const cpus = availableParallelism();
  if (nano < 0 || nano > cpus * 1e9)
    throw refused(`Range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
  if (shares < 0) throw refused('shares: invalid argument');
  if (period !== 0 && (period < 1000 || period > 1_000_000))
    throw refused('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (quota > 0 && quota < 1000) throw refused('CPU cfs quota can not be less than 1ms (i.e. 1000)');
}

function checkSet(things: string, name: string, asked: string | undefined, onlinePath: string): void {
  if (!asked) return;
  const wanted = parseSet(asked);
  if (wanted === undefined) throw refused(`Invalid value ${asked} for ${name}: invalid format: ${asked}`);
  const available = readLine(onlinePath);
  const there = available === undefined ? undefined : parseSet(available);
  // What the host does not tell, the kernel says at the start.
  if (there === undefined || wanted.every((one) => there.includes(one))) return;
  throw refused(`Requested ${things} are not available - requested ${asked}, available: ${available}`);
}

/** The numbers of `0-2,7`; `undefined` when it is no such list. */
function parseSet(text: string): readonly number[] | undefined {
  const numbers: number[] = [];
  for (const part of text.split(',')) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part.trim());
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? first);
    if (last < first) return undefined;
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers;
}

function readLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

function refused(message: string): CodedError {
  return new CodedError('invalid_argument', message);
}
