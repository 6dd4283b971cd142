import { type Column, formatList, shortId } from '#cli/output/index.ts';
import { pairsOf } from './container-body.ts';
import { forEachName } from './each.ts';
import { encodeFilters, FILTER_FLAG, FORMAT_FLAG, NO_TRUNC_FLAG, QUIET_FLAG } from './filters.ts';
import type { Command } from './types.ts';

interface NetworkSummary {
  readonly Id: string;
  readonly Name: string;
  readonly Driver: string;
  readonly Scope: string;
  readonly EnableIPv6?: boolean;
  readonly Internal?: boolean;
  readonly Created?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
}

/** `slipway network ls`. */
export const networkList: Command = {
  usage: 'ls [OPTIONS]',
  summary: 'List networks',
  minArgs: 0,
  maxArgs: 0,
  flags: [FILTER_FLAG, FORMAT_FLAG, NO_TRUNC_FLAG, { ...QUIET_FLAG, help: 'Only display network IDs' }],
  async run(context, _args, flags) {
    const engine = await context.engine();
    const networks = await engine.call<readonly NetworkSummary[]>('GET', '/networks', {
      query: { filters: encodeFilters(flags.list('filter')) },
      signal: context.signal,
    });
    const full = flags.bool('no-trunc');
    const columns: readonly Column<NetworkSummary>[] = [
      { name: 'ID', heading: 'NETWORK ID', cell: (n) => (full ? n.Id : shortId(n.Id)) },
      { name: 'Name', heading: 'NAME', cell: (n) => n.Name },
      { name: 'Driver', heading: 'DRIVER', cell: (n) => n.Driver },
      { name: 'Scope', heading: 'SCOPE', cell: (n) => n.Scope },
      { name: 'IPv6', heading: 'IPV6', cell: (n) => String(n.EnableIPv6 ?? false) },
      { name: 'Internal', heading: 'INTERNAL', cell: (n) => String(n.Internal ?? false) },
      { name: 'CreatedAt', heading: 'CREATED AT', cell: (n) => n.Created ?? '' },
      { name: 'Labels', heading: 'LABELS', cell: (n) => labelsOf(n.Labels) },
    ];
    const format = flags.string('format');
    const sorted = [...networks].sort((a, b) => (a.Name < b.Name ? -1 : 1));
    context.stdout.write(
      formatList(sorted, columns, {
        columns: ['ID', 'Name', 'Driver', 'Scope'],
        quietColumn: 'ID',
        quiet: flags.bool('quiet'),
        ...(format === undefined ? {} : { format }),
      }),
    );
    return 0;
  },
};

/** Labels in one cell. */
export function labelsOf(labels: Readonly<Record<string, string>> | null | undefined): string {
  return Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/** `slipway network create`. */
export const networkCreate: Command = {
  usage: 'create [OPTIONS] NETWORK',
  summary: 'Create a network',
  minArgs: 1,
  maxArgs: 1,
  flags: [
    { name: 'attachable', kind: 'bool', help: 'Enable manual container attachment' },
    { name: 'aux-address', kind: 'list', help: 'Auxiliary IPv4 or IPv6 addresses used by Network driver' },
    { name: 'driver', short: 'd', kind: 'string', default: 'bridge', help: 'Driver to manage the Network' },
    { name: 'gateway', kind: 'list', help: 'IPv4 or IPv6 Gateway for the master subnet' },
    { name: 'internal', kind: 'bool', help: 'Restrict external access to the network' },
    { name: 'ip-range', kind: 'list', help: 'Allocate container ip from a sub-range' },
    { name: 'ipam-driver', kind: 'string', default: 'default', help: 'IP Address Management Driver' },
    { name: 'ipam-opt', kind: 'list', help: 'Set IPAM driver specific options' },
    { name: 'ipv6', kind: 'bool', help: 'Enable or disable IPv6 networking' },
    { name: 'label', kind: 'list', help: 'Set metadata on a network' },
    { name: 'opt', short: 'o', kind: 'list', help: 'Set driver specific options' },
    { name: 'subnet', kind: 'list', help: 'Subnet in CIDR format that represents a network segment' },
  ],
  async run(context, [name = ''], flags) {
    const gateways = flags.list('gateway');
    const ranges = flags.list('ip-range');
    const auxiliary = pairsOf(flags.list('aux-address'));
    const config = flags.list('subnet').map((subnet, i) => ({
      Subnet: subnet,
      ...(ranges[i] ? { IPRange: ranges[i] } : {}),
      ...(gateways[i] ? { Gateway: gateways[i] } : {}),
      ...(i === 0 && Object.keys(auxiliary).length > 0 ? { AuxiliaryAddresses: auxiliary } : {}),
    }));
    const engine = await context.engine();
    const created = await engine.call<{ Id: string; Warning?: string }>('POST', '/networks/create', {
      json: {
        Name: name,
        CheckDuplicate: true,
        Driver: flags.string('driver'),
        Internal: flags.bool('internal'),
        Attachable: flags.bool('attachable'),
        EnableIPv6: flags.bool('ipv6'),
        IPAM: {
          Driver: flags.string('ipam-driver'),
          Options: pairsOf(flags.list('ipam-opt')),
          Config: config,
        },
        Options: pairsOf(flags.list('opt')),
        Labels: pairsOf(flags.list('label')),
      },
      signal: context.signal,
    });
    if (created.Warning) context.stderr.write(`WARNING: ${created.Warning}\n`);
    context.stdout.write(`${created.Id}\n`);
    return 0;
  },
};

/** `slipway network rm`. */
export const networkRemove: Command = {
  usage: 'rm NETWORK [NETWORK...]',
  summary: 'Remove one or more networks',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  flags: [{ name: 'force', short: 'f', kind: 'bool', help: 'Do not error if the network does not exist' }],
  async run(context, args, flags) {
    const engine = await context.engine();
    return forEachName(context, args, async (name) => {
      const response = await engine.send('DELETE', `/networks/${encodeURIComponent(name)}`, {
        signal: context.signal,
      });
      if (response.status === 404 && flags.bool('force')) {
        response.takeSocket().socket.destroy();
        return;
      }
      await engine.check(response);
      context.stdout.write(`${name}\n`);
    });
  },
};
