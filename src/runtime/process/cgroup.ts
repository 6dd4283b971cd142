/** What we do to a container's cgroups ourselves: read OOM kills, kill what is left, remove them. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '#base/errors/index.ts';

const ROOT = '/sys/fs/cgroup';
const PAGE_BYTES = 4096;

/** Directories of the cgroup `path` (as in `linux.cgroupsPath`) in every hierarchy that has it. */
export function cgroupDirs(path: string, root = ROOT): readonly string[] {
  const own = join(root, path);
  return [
    own,
    ...readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(root, entry.name, path)),
  ].filter(exists);
}

function exists(dir: string): boolean {
  try {
    readdirSync(dir);
    return true;
  } catch {
    return false;
  }
}

/** How many processes of the cgroup the kernel has killed for want of memory. */
export function readOomKills(path: string, root = ROOT): number {
  for (const file of [join(root, path, 'memory.events'), join(root, 'memory', path, 'memory.oom_control')]) {
    try {
      const match = /^oom_kill (\d+)$/m.exec(readFileSync(file, 'utf8'));
      if (match !== null) return Number(match[1]);
    } catch {
      // Another layout, or gone already.
    }
  }
  return 0;
}

/**
 * Makes a memory cgroup above that of one process tree, with its limit, so that after the runtime has removed the inner one
 * `readOomKills` still knows. Only v1 needs it: v2 counts upwards by itself.
 */
export function prepareMemoryGroup(path: string, limitBytes: number, root = ROOT): void {
  const dir = join(root, 'memory', path);
  try {
    mkdirSync(dir, { recursive: true });
    // A page less than the inner limit: this one is hit first.
    writeFileSync(join(dir, 'memory.limit_in_bytes'), String(limitBytes - PAGE_BYTES));
  } catch (error) {
    if (!isSystemError(error, 'ENOENT') && !isSystemError(error, 'EROFS')) throw error;
  }
}

/** How often such a group refused memory; with a process killed that means: for want of it. */
export function readMemoryRefusals(path: string, root = ROOT): number {
  try {
    return Number(readFileSync(join(root, 'memory', path, 'memory.failcnt'), 'utf8'));
  } catch {
    return 0;
  }
}

/** Sends SIGKILL to everything in the cgroup, its children included. */
export function killCgroup(path: string, root = ROOT): void {
  for (const dir of cgroupDirs(path, root)) {
    try {
      writeFileSync(join(dir, 'cgroup.kill'), '1');
      continue;
    } catch {
      // Cgroup v1: one by one.
    }
    for (const pid of listPids(dir)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    }
  }
}

function listPids(dir: string): readonly number[] {
  try {
    const own = readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    const below = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own, ...below.flatMap((entry) => listPids(join(dir, entry.name)))];
  } catch {
    return [];
  }
}

/** Removes the cgroup from every hierarchy; false while something still runs in it. */
export function removeCgroup(path: string, root = ROOT): boolean {
  return cgroupDirs(path, root).every(removeTree);
}

function removeTree(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return true;
  }
  try {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (entry.isDirectory() && !removeTree(join(dir, entry.name))) return false;
    }
    rmdirSync(dir);
    return true;
  } catch (error) {
    return isSystemError(error, 'ENOENT');
  }
}
