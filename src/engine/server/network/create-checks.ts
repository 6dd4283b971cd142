/** What `POST /networks/create` asks for and this engine does not give is refused here, never passed over. */
import { CodedError } from '#base/errors/index.ts';

/** One pool of addresses. */
export interface PoolBody {
  readonly Subnet?: string | null;
  readonly IPRange?: string | null;
  readonly Gateway?: string | null;
  readonly AuxiliaryAddresses?: Readonly<Record<string, string>> | null;
}

/** Body of `POST /networks/create`. */
export interface CreateBody {
  readonly Name: string;
  readonly Driver: string;
  readonly Internal: boolean;
  readonly Ingress: boolean;
  readonly Scope: string;
  readonly ConfigOnly: boolean;
  readonly ConfigFrom: { readonly Network?: string } | null;
  readonly EnableIPv6: boolean;
  readonly IPAM: { readonly Driver?: string; readonly Config?: readonly PoolBody[] | null };
  readonly Options: Record<string, string> | null;
  readonly Labels: Record<string, string> | null;
}

/** @throws {CodedError} with Docker's texts; `unimplemented` for what Docker has and this engine has not. */
export function checkCreate(body: Partial<CreateBody>): void {
  const source = body.ConfigFrom?.Network ?? '';
  if (source !== '') throw new CodedError('not_found', `configuration network "${source}" does not exist`);
  if (body.ConfigOnly === true)
    throw new CodedError('unimplemented', 'networks that are only a configuration are not supported');
  if (body.Ingress === true)
    throw new CodedError('permission_denied', 'Ingress network can only be global scope network');
  if (body.Scope === 'swarm')
    throw new CodedError(
      'permission_denied',
      'cannot create a swarm scoped network when swarm is not active',
    );
  const ipam = body.IPAM?.Driver ?? '';
  if (ipam !== '' && ipam !== 'default') throw new CodedError('not_found', `plugin "${ipam}" not found`);
  const pools = body.IPAM?.Config ?? [];
  const problems = pools.flatMap(poolProblems);
  if (problems.length > 0)
    throw new CodedError('invalid_argument', `invalid network config:\n${problems.join('\n')}`);
  if (pools.length > 1)
    throw new CodedError('unimplemented', 'networks with more than one subnet are not supported yet');
}

function poolProblems(pool: PoolBody): string[] {
  // docker-py sends null for what it does not ask for.
  const [text, gateway, range] = [pool.Subnet ?? '', pool.Gateway ?? '', pool.IPRange ?? ''];
  // IPv6 is told by the network itself.
  if (text.includes(':')) return [];
  const subnet = parseCidr(text);
  if (subnet === undefined)
    return text === '' && gateway === '' && range === ''
      ? []
      : [`invalid subnet ${text}: invalid CIDR block notation`];
  const base = subnet.address & subnet.mask;
  const proper = `${dotted(base)}/${text.split('/')[1]}`;
  const problems = proper === text ? [] : [`invalid subnet ${text}: it should be ${proper}`];
  if (range !== '') {
    const part = parseCidr(range);
    if (part === undefined) problems.push(`invalid ip-range ${range}: invalid CIDR block notation`);
    else if ((part.address & subnet.mask) !== base)
      problems.push(`invalid ip-range ${range}: parent subnet ${text} doesn't contain ip-range`);
  }
  if (gateway !== '') {
    const address = parseAddress(gateway);
    if (address === undefined) problems.push(`invalid gateway ${gateway}: invalid address`);
    else if ((address & subnet.mask) !== base)
      problems.push(`invalid gateway ${gateway}: parent subnet ${text} doesn't contain this address`);
  }
  return problems;
}

function parseCidr(text: string): { readonly address: number; readonly mask: number } | undefined {
  const [, head = '', length = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const address = parseAddress(head);
  if (address === undefined || Number(length) > 32) return undefined;
  return { address, mask: Number(length) === 0 ? 0 : -1 << (32 - Number(length)) };
}

function parseAddress(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255))
    return undefined;
  return parts.reduce((sum, part) => (sum << 8) | Number(part), 0);
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}
