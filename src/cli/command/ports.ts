/** `-p` and `--expose` as the Engine API wants them. */
import { usageError } from './flags.ts';

/** One published port of a container. */
export interface PortBinding {
  readonly HostIp: string;
  readonly HostPort: string;
}

/** Reads `[ip:][host]:container[/proto]` with ranges; throws docker's words for nonsense. */
export function parsePublished(specs: readonly string[]): {
  readonly exposed: Record<string, object>;
  readonly bindings: Record<string, PortBinding[]>;
} {
  const exposed: Record<string, object> = {};
  const bindings: Record<string, PortBinding[]> = {};
  for (const spec of specs) {
    const match =
      /^(?:(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?([0-9]*(?:-[0-9]+)?):)?([0-9]+(?:-[0-9]+)?)(?:\/([a-zA-Z]+))?$/.exec(
        spec.includes('=') ? readLongForm(spec) : spec,
      );
    if (match === null)
      throw usageError(
        `invalid publish opts format (should be [IP:][HOSTPORT:]CONTAINERPORT, but got '${spec}')`,
      );
    const [, ip = '', host = '', container = '', protocol = 'tcp'] = match;
    const inside = parseRange(container, spec);
    const outside = host === '' ? undefined : parseRange(host, spec);
    if (outside !== undefined && outside.length !== inside.length && inside.length !== 1)
      throw usageError(`invalid ranges specified for container and host Ports: ${container} and ${host}`);
    for (const [i, port] of inside.entries()) {
      const key = `${port}/${protocol.toLowerCase()}`;
      exposed[key] = {};
      // One container port with a range of host ports: the engine takes a free one of the range.
      const hostPort = outside === undefined ? '' : inside.length === 1 ? host : String(outside[i]);
      bindings[key] = [...(bindings[key] ?? []), { HostIp: ip.replace(/^\[|\]$/g, ''), HostPort: hostPort }];
    }
  }
  return { exposed, bindings };
}

/** `80`, `80/udp` or `8000-8010`. */
export function parseExposed(specs: readonly string[]): Record<string, object> {
  const exposed: Record<string, object> = {};
  for (const spec of specs) {
    const match = /^([0-9]+(?:-[0-9]+)?)(?:\/([a-zA-Z]+))?$/.exec(spec);
    if (match === null) throw usageError(`invalid port format for --expose: ${spec}`);
    for (const port of parseRange(match[1] ?? '', spec))
      exposed[`${port}/${(match[2] ?? 'tcp').toLowerCase()}`] = {};
  }
  return exposed;
}

function readLongForm(spec: string): string {
  const values = new Map(spec.split(',').map((part) => part.split('=', 2) as [string, string]));
  const target = values.get('target') ?? '';
  const published = values.get('published');
  const protocol = values.get('protocol') ?? 'tcp';
  return `${published === undefined ? '' : `${published}:`}${target}/${protocol}`;
}

function parseRange(text: string, spec: string): number[] {
  const [first = Number.NaN, last = first] = text.split('-').map(Number);
  if (!(first >= 0 && last <= 65535 && first <= last)) throw usageError(`invalid containerPort: ${spec}`);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
