import { type Context, isRunning } from './context.ts';
import type { ContainerRecord } from './types.ts';

type User = Pick<ContainerRecord, 'id' | 'mounts'>;

/**
 * Mounts the devices of a container's volumes, for those that have options. `purpose` tells apart what one container needs them for.
 * @throws {CodedError} `failed_precondition` with the words of mount(8); nothing stays mounted for it then.
 */
export async function acquireVolumes(context: Context, user: User, purpose = 'run'): Promise<void> {
  try {
    for (const name of volumesOf(user)) await context.volumes.mountVolume(name, `${user.id} ${purpose}`);
  } catch (error) {
    releaseVolumes(context, user, purpose);
    throw error;
  }
}

/** Unmounts the devices of a container's volumes that nobody else uses now. */
export function releaseVolumes(context: Context, user: User, purpose = 'run'): void {
  for (const name of volumesOf(user)) {
    // Containers that an earlier engine started are known by their records only.
    const isElsewhere = ({ id, mounts }: ContainerRecord): boolean =>
      id !== user.id && mounts.some((mount) => mount.name === name);
    const keep = context.records.list().some((other) => isRunning(other) && isElsewhere(other));
    context.volumes.unmountVolume(name, `${user.id} ${purpose}`, { keep });
  }
}

function volumesOf({ mounts }: User): readonly string[] {
  return mounts.flatMap(({ type, name }) => (type === 'volume' && name !== undefined ? [name] : []));
}
