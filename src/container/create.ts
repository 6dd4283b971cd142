import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { hostPlatform, parsePlatform } from '#oci/platform/index.ts';
import { capabilitiesFor, resolveInRoot } from '#runtime/spec/index.ts';
import type { Image } from '#store/image/types.ts';
import { parseSecurity } from './bundle.ts';
import { checkConflicts } from './conflicts.ts';
import { type Context, dirOf, publish, snapshotKey } from './context.ts';
import { checkHealthcheck } from './health.ts';
import { checkLinks } from './links.ts';
import { resolveMounts, volumesToFill } from './mounts.ts';
import { checkName, makeName } from './names.ts';
import { checkEndpoints, checkPorts, resolveAttachments } from './networking.ts';
import { tellingVolumes } from './notices.ts';
import type { ContainerRecords } from './records.ts';
import { hasNames, warmNames } from './resolver.ts';
import { commandOf, completeHostSettings, completeSettings, parseSignal } from './settings.ts';
import type { ContainerRecord, CreateRequest } from './types.ts';
import { acquireVolumes, releaseVolumes } from './volume-use.ts';

/**
 * Makes a container: checks everything that can be checked, then its file system and volumes, then its row. On failure
 * nothing stays but named volumes.
 * @throws {CodedError} with Docker's texts.
 */
export async function createContainer(
  context: Context,
  request: CreateRequest,
): Promise<{ readonly id: string; readonly warnings: readonly string[] }> {
  const { records, images, snapshots } = context;
  const name = request.name === '' ? makeName((one) => records.isNameTaken(one)) : checkName(request.name);
  records.checkNameFree(name);
  const imageName = request.config.Image ?? '';
  if (imageName === '') throw new CodedError('invalid_argument', 'no command specified');
  const image = images.getImage(imageName);
  checkPlatform(image, imageName, request.platform);
  const id = randomBytes(32).toString('hex');
  checkConflicts(request.config, request.hostConfig);
  const host = completeHostSettings(request.hostConfig);
  checkRuntime(host.Runtime ?? '', context.runtime.name);
  checkPorts(host);
  checkHealthcheck(request.config.Healthcheck);
  checkLinks(context, host);
  capabilitiesFor({ privileged: false, add: host.CapAdd ?? [], drop: host.CapDrop ?? [] });
  parseSecurity(host.SecurityOpt ?? [], host.Privileged === true);
  const config = completeSettings(request.config, image.config.config ?? {}, id);
  if (config.StopSignal) parseSignal(config.StopSignal);
  checkNetworkOwner(records, host.NetworkMode ?? '');
  checkEndpoints(host, request.endpoints, context.networks);
  const attachments = resolveAttachments(host, request.endpoints, context.networks);
  const mounts = await resolveMounts({ config, host }, tellingVolumes(context), (one) =>
    containerOf(records, one),
  );
  await fillVolumes(context, image, { id, mounts });
  const [path = '', ...args] = commandOf(config);
  const record: ContainerRecord = {
    id,
    name,
    createdAt: Date.now(),
    imageId: image.id,
    imageName,
    platform: image.config.os,
    path,
    args,
    config: { ...config, Image: imageName },
    hostConfig: host,
    mounts,
    attachments,
    state: {
      status: 'created',
      pid: 0,
      exitCode: 0,
      error: '',
      oomKilled: false,
      startedAt: 0,
      finishedAt: 0,
    },
    restartCount: 0,
    stoppedByHand: false,
    stubs: [],
  };
  mkdirSync(dirOf(context, id), { recursive: true, mode: 0o700 });
  try {
    await snapshots.prepare(snapshotKey(id), image.chainId);
    records.add(record);
  } catch (error) {
    await snapshots.remove(snapshotKey(id));
    rmSync(dirOf(context, id), { recursive: true, force: true });
    throw error;
  }
  publish(context, record, 'create');
  if (hasNames(context, attachments)) warmNames(context);
  return { id, warnings: warningsFor(context, record) };
}

function checkPlatform(image: Image, name: string, wanted: string | undefined): void {
  if (!wanted) return;
  parsePlatform(wanted, hostPlatform());
  const [os = '', architecture] = wanted.split('/');
  const matches =
    (os === image.config.os || os === image.config.architecture) &&
    (architecture === undefined || architecture === image.config.architecture);
  if (matches) return;
  throw new CodedError(
    'not_found',
    `image with reference ${name} was found but does not match the specified platform: wanted ${wanted}, actual: ${image.config.os}/${image.config.architecture}`,
  );
}

/** New volumes get what the image has at their place. */
async function fillVolumes(
  context: Context,
  image: Image,
  container: Pick<ContainerRecord, 'id' | 'mounts'>,
): Promise<void> {
  const targets = volumesToFill(container.mounts);
  if (targets.length === 0) return;
  const view = join(context.execRoot, 'views', randomBytes(6).toString('hex'));
  context.snapshots.mountViewAt(image.chainId, view);
  try {
    await acquireVolumes(context, container, 'fill');
    for (const mount of targets) {
      const volume = context.volumes.findVolume(mount.name ?? '');
      const held = resolveInRoot(view, mount.destination);
      if (volume === undefined || held.stat === undefined || !held.stat.isDirectory()) continue;
      await context.volumes.copyUp(volume, view, mount.destination);
    }
  } finally {
    context.snapshots.unmount(view);
    rmSync(view, { recursive: true, force: true });
    releaseVolumes(context, container, 'fill');
  }
}

function warningsFor(_context: Context, record: ContainerRecord): readonly string[] {
  const warnings: string[] = [];
  const { hostConfig: host } = record;
  if (host.NetworkMode === 'host' && Object.keys(host.PortBindings ?? {}).length > 0) {
    warnings.push('Published ports are discarded when using host network mode');
  }
  if (host.OomKillDisable === true && !host.Memory) {
    warnings.push(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    );
  }
  return warnings;
}

/** The engine has one runtime; Docker's names for its default one mean that. */
function checkRuntime(asked: string, own: string): void {
  if (['', 'runc', 'io.containerd.runc.v2', own].includes(asked)) return;
  throw new CodedError('invalid_argument', `unknown or invalid runtime name: ${asked}`);
}

/** Not `not_found`: clients take that for a missing image and pull it. */
function containerOf(records: ContainerRecords, name: string): ContainerRecord {
  const record = name === '' ? undefined : records.find(name);
  if (record !== undefined) return record;
  throw new CodedError('invalid_argument', `No such container: ${name}`);
}

function checkNetworkOwner(records: ContainerRecords, mode: string): void {
  if (!mode.startsWith('container:')) return;
  containerOf(records, mode.slice('container:'.length));
}
