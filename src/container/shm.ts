/** `/dev/shm` of a container, where POSIX shared memory lies: it goes with the IPC namespace. */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { MNT, MS, mount, unmount } from '#base/posix/index.ts';
import type { SpecMount } from '#runtime/spec/index.ts';
import type { Context } from './context.ts';
import type { ContainerRecord } from './types.ts';

const TARGET = '/dev/shm';

/**
 * The mount of a container that shares its memory (`--ipc shareable`, `host`, `container:…`), made where it is its own;
 * `undefined`: it has one of its own, made by the runtime.
 */
export function prepareShm(context: Context, record: ContainerRecord): SpecMount | undefined {
  if (record.mounts.some(({ destination }) => destination === TARGET)) return undefined;
  const source = sourceOf(context, record);
  if (source === undefined) return undefined;
  return { type: 'bind', source, target: TARGET, readonly: false, options: ['nosuid', 'noexec', 'nodev'] };
}

function sourceOf(context: Context, record: ContainerRecord): string | undefined {
  const mode = record.hostConfig.IpcMode ?? '';
  if (mode === 'host') return TARGET;
  if (mode === 'shareable') return makeShm(context, record);
  if (!mode.startsWith('container:')) return undefined;
  const donor = context.records.get(mode.slice('container:'.length));
  if (donor.hostConfig.IpcMode === 'host') return TARGET;
  const shared = shmDirOf(context, donor.id);
  return existsSync(shared) ? shared : undefined;
}

function makeShm(context: Context, { id, hostConfig }: ContainerRecord): string {
  dropShm(context, id);
  const target = shmDirOf(context, id);
  mkdirSync(target, { recursive: true, mode: 0o700 });
  mount({
    source: 'shm',
    target,
    type: 'tmpfs',
    flags: MS.NOSUID | MS.NODEV | MS.NOEXEC,
    data: `mode=1777,size=${hostConfig.ShmSize ?? 0}`,
  });
  return target;
}

/** Takes the shared memory of a container that has ended away; those that joined it keep theirs. Idempotent. */
export function dropShm(context: Context, id: string): void {
  const target = shmDirOf(context, id);
  if (!existsSync(target)) return;
  try {
    unmount(target, MNT.DETACH);
  } catch {
    // It was not mounted.
  }
  rmdirSync(target);
}

function shmDirOf(context: Context, id: string): string {
  return join(context.execRoot, 'shm', id);
}
