import { BlockList, isIP } from 'node:net';
import { CodedError } from '#base/errors/index.ts';
import { normalizeRegistry } from '#registry/auth/index.ts';
import { isLoopbackHost } from './transport.ts';
import type { RegistryClientOptions } from './types.ts';

/** One address to try for a registry. */
export interface Endpoint {
  readonly base: URL;
  readonly isMirror: boolean;
  /** Name under which credentials are stored. */
  readonly credentialsKey: string;
}

const HUB_HOST = 'registry-1.docker.io';

/** Tells which hosts may be used without TLS or with a certificate nobody signed: loopback, and what is listed. */
export function createInsecureCheck(listed: readonly string[]): (host: string) => boolean {
  const ranges = new BlockList();
  const hosts = new Set<string>();
  for (const entry of listed) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits !== undefined && isIP(address) !== 0) ranges.addSubnet(address, Number(bits), family);
    else hosts.add(normalizeRegistry(entry));
  }
  return (host) => {
    const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    if (isLoopbackHost(name) || hosts.has(host.toLowerCase()) || hosts.has(name.toLowerCase())) return true;
    const family = isIP(name);
    return family !== 0 && ranges.check(name, family === 6 ? 'ipv6' : 'ipv4');
  };
}

/**
 * Addresses for a registry in the order to try them. Loopback is tried without TLS first; a listed insecure host with
 * TLS first, then without; everything else with TLS only.
 * @throws {CodedError} `invalid_argument` for a mirror that is no URL.
 */
export function listEndpoints(
  registry: string,
  access: 'pull' | 'push',
  options: RegistryClientOptions,
  isInsecure: (host: string) => boolean,
): Endpoint[] {
  const host = normalizeRegistry(registry);
  const endpoints: Endpoint[] = [];
  for (const mirror of access === 'pull' ? (options.mirrors?.[host] ?? []) : []) {
    const text = mirror.includes('://') ? mirror : `https://${mirror}`;
    if (!URL.canParse(text))
      throw new CodedError('invalid_argument', `invalid mirror: unable to parse "${mirror}"`);
    const base = new URL(text);
    endpoints.push({ base, isMirror: true, credentialsKey: base.host });
  }
  const real = host === 'docker.io' ? HUB_HOST : host;
  const own = (scheme: string): Endpoint => {
    const text = `${scheme}://${real}/`;
    if (!URL.canParse(text))
      throw new CodedError('invalid_argument', `invalid registry "${registry}": it is no host name`);
    return { base: new URL(text), isMirror: false, credentialsKey: host };
  };
  if (!isInsecure(real)) return [...endpoints, own('https')];
  const schemes = isLoopbackHost(own('http').base.hostname) ? ['http', 'https'] : ['https', 'http'];
  return [...endpoints, ...schemes.map(own)];
}
