import { readFileSync, statSync } from 'node:fs';
import { isIP, isIPv6 } from 'node:net';
import type { Upstream } from './types.ts';

const HOST_FILE = '/etc/resolv.conf';
/** Where nothing else is known; Docker's. */
const FALLBACK: readonly Upstream[] = ['8.8.8.8', '8.8.4.4'].map((address) => ({ address, fromHost: false }));
/** A change of the host's network is seen after this at the latest. */
const FRESH_MS = 2000;

/**
 * The resolvers of the host as they are now: a host that joins another network takes its containers along. Those on its loopback,
 * and over IPv6, which networks here do not have, are asked from the host.
 */
export class HostResolvers {
  readonly #path: string;
  readonly #now: () => number;
  #upstreams: readonly Upstream[] = FALLBACK;
  #stamp = '';
  #checkedAt = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly path?: string; readonly now?: () => number } = {}) {
    this.#path = options.path ?? HOST_FILE;
    this.#now = options.now ?? (() => performance.now());
  }

  list(): readonly Upstream[] {
    const now = this.#now();
    if (now - this.#checkedAt < FRESH_MS) return this.#upstreams;
    this.#checkedAt = now;
    try {
      const { mtimeMs, ino, size } = statSync(this.#path);
      const stamp = `${mtimeMs} ${ino} ${size}`;
      if (stamp !== this.#stamp) this.#upstreams = parse(readFileSync(this.#path, 'utf8'));
      this.#stamp = stamp;
    } catch {
      // It is being written, or there is none: what was known goes on.
    }
    return this.#upstreams;
  }
}

function parse(text: string): readonly Upstream[] {
  const found = [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].flatMap(([, address = '']) =>
    isIP(address) === 0 ? [] : [{ address, fromHost: isIPv6(address) || address.startsWith('127.') }],
  );
  return found.length === 0 ? FALLBACK : found;
}
