/** Containers joining and leaving networks after they were made, also while they run. */
import { CodedError } from '#base/errors/index.ts';
import type { Network, Sandbox } from '#runtime/network/types.ts';
import { type Context, isRunning } from './context.ts';
import { followNetworks } from './hosts-file.ts';
import { parseLink } from './links.ts';
import { attachmentFor, attachOne, endpointProblems } from './networking.ts';
import { publishMembership } from './notices.ts';
import { updateNames } from './resolver.ts';
import type { ContainerRecord, ContainerService } from './types.ts';

/** @see ContainerService.connect */
export async function connectContainer(
  context: Context,
  record: ContainerRecord,
  network: Network,
  options: Parameters<ContainerService['connect']>[2],
): Promise<void> {
  if (record.attachments.some(({ networkId }) => networkId === network.id)) {
    throw new CodedError(
      'permission_denied',
      `endpoint with name ${record.name} already exists in network ${network.name}`,
    );
  }
  if (network.driver !== 'bridge') {
    throw new CodedError(
      'invalid_argument',
      network.driver === 'host'
        ? 'container cannot be disconnected from host network or connected to host network'
        : 'container cannot be connected to multiple networks with one of the networks in private (none) mode',
    );
  }
  const request = {
    Aliases: options.aliases,
    ...(options.links?.length ? { Links: options.links } : {}),
    ...(options.ipAddress === undefined ? {} : { IPAMConfig: { IPv4Address: options.ipAddress } }),
  };
  for (const link of options.links ?? []) parseLink(link);
  const problems = endpointProblems(network.name, request, network);
  if (problems.length > 0)
    throw new CodedError('invalid_argument', `invalid endpoint settings:\n${problems.join('\n')}`);
  const wanted = attachmentFor(network.name, request, context.networks);
  const sandbox = isRunning(record) ? sandboxOf(record) : undefined;
  const attachment =
    sandbox === undefined ? wanted : await attachOne(context, record, sandbox, wanted, false);
  const { attachments } = context.records.get(record.id);
  const joined = context.records.change(record.id, { attachments: [...attachments, attachment] });
  await updateNames(context, joined, attachments);
  followNetworks(context, joined, attachments);
  publishMembership(context, record, network, 'connect');
}

/** @see ContainerService.disconnect */
export async function disconnectContainer(
  context: Context,
  record: ContainerRecord,
  network: Network,
): Promise<void> {
  const attachment = record.attachments.find(({ networkId }) => networkId === network.id);
  if (attachment === undefined) {
    throw new CodedError(
      'permission_denied',
      `container ${record.id} is not connected to network ${network.name}`,
    );
  }
  const sandbox = sandboxOf(record);
  if (attachment.endpoint !== undefined && sandbox !== undefined) {
    await context.networks?.detach(sandbox, network.id, record.id);
  }
  const before = context.records.get(record.id).attachments;
  const attachments = before.filter(({ networkId }) => networkId !== network.id);
  const left = context.records.change(record.id, { attachments });
  await updateNames(context, left, before);
  followNetworks(context, left, before);
  publishMembership(context, record, network, 'disconnect');
}

function sandboxOf({ sandboxId: id, sandboxPath: path }: ContainerRecord): Sandbox | undefined {
  return id === undefined || path === undefined ? undefined : { id, path };
}
