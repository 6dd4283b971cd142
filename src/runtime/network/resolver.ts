import { readFileSync } from 'node:fs';

/** What a container's resolv.conf says. */
export interface Resolver {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

const STUB_FILE = '/run/systemd/resolve/resolv.conf';
const FALLBACK = ['8.8.8.8', '8.8.4.4'];

/** Reads resolv.conf text. */
export function parseResolvConf(text: string): Resolver {
  const rows = text.split('\n').map((line) =>
    line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/),
  );
  const valuesOf = (word: string): string[] =>
    rows.filter((row) => row[0] === word).flatMap((row) => row.slice(1));
  return { nameservers: valuesOf('nameserver'), search: valuesOf('search'), options: valuesOf('options') };
}

/**
 * The host's resolver as a container on a bridge can use it: a server on the host's loopback cannot be reached from
 * there, so it is replaced by what stands behind systemd's stub, or by public servers as Docker does.
 */
export function bridgeResolver(read: (path: string) => string | undefined = readText): Resolver {
  const host = parseResolvConf(read('/etc/resolv.conf') ?? '');
  const reachable = (servers: readonly string[]): string[] =>
    servers.filter((server) => !/^(127\.|::1)/.test(server));
  const direct = reachable(host.nameservers);
  if (direct.length > 0) return { ...host, nameservers: direct };
  const behindStub = reachable(parseResolvConf(read(STUB_FILE) ?? '').nameservers);
  return { ...host, nameservers: behindStub.length > 0 ? behindStub : FALLBACK };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
