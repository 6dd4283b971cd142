/** EXPOSE: `[[ip:]hostPort:]port[-last][/protocol]`; only the container's side counts. */
import { CodedError } from '#base/errors/index.ts';
import type { FrontendOptions } from './types.ts';

const PROTOCOLS = ['tcp', 'udp', 'sctp'];
const PORT_LIMIT = 65535;

/**
 * The ports a specification opens, `80/tcp` each, in order.
 * @throws {CodedError} `invalid_argument` with the part at fault.
 */
export function parsePorts(specification: string, dialect: FrontendOptions['dialect']): readonly string[] {
  const word = dialect === 'classic' ? 'Invalid' : 'invalid';
  const slash = specification.lastIndexOf('/');
  const protocol = slash < 0 ? 'tcp' : specification.slice(slash + 1).toLowerCase() || 'tcp';
  const address = slash < 0 ? specification : specification.slice(0, slash);
  const container = address.slice(address.lastIndexOf(':') + 1);
  if (container === '') throw invalid(`no port specified: ${specification}<empty>`);
  const [first = '', last = first, ...more] = container.split('-');
  const start = parsePort(first);
  const end = parsePort(last);
  if (start === undefined || end === undefined || end < start || more.length > 0) {
    throw invalid(`${word} containerPort: ${container}`);
  }
  if (!PROTOCOLS.includes(protocol)) throw invalid(`${word} proto: ${protocol}`);
  return Array.from({ length: end - start + 1 }, (_, i) => `${start + i}/${protocol}`);
}

/** Ports by number, then protocol. */
export function sortPorts(ports: readonly string[]): readonly string[] {
  return [...ports].sort(
    (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : a > b ? 1 : 0),
  );
}

function parsePort(text: string): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= PORT_LIMIT ? port : undefined;
}

function invalid(message: string): CodedError {
  return new CodedError('invalid_argument', message);
}
