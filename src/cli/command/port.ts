import { CodedError } from '#base/errors/index.ts';
import type { PortBinding } from './ports.ts';
import type { Command } from './types.ts';

interface Published {
  readonly NetworkSettings: {
    readonly Ports: Readonly<Record<string, readonly PortBinding[] | null>> | null;
  };
}

/** `slipway port`. */
export const port: Command = {
  usage: 'port CONTAINER [PRIVATE_PORT[/PROTO]]',
  summary: 'List port mappings or a specific mapping for the container',
  minArgs: 1,
  maxArgs: 2,
  flags: [],
  async run(context, [name = '', wanted]) {
    const engine = await context.engine();
    const container = await engine.call<Published>('GET', `/containers/${encodeURIComponent(name)}/json`);
    const ports = container.NetworkSettings.Ports ?? {};
    const show = ({ HostIp: ip, HostPort: hostPort }: PortBinding): string =>
      `${ip.includes(':') ? `[${ip}]` : ip}:${hostPort}`;
    if (wanted === undefined) {
      for (const [key, bindings] of Object.entries(ports))
        for (const binding of bindings ?? []) context.stdout.write(`${key} -> ${show(binding)}\n`);
      return 0;
    }
    const key = wanted.includes('/') ? wanted : `${wanted}/tcp`;
    const bindings = Object.hasOwn(ports, key) ? (ports[key] ?? []) : [];
    if (bindings.length === 0)
      throw new CodedError('not_found', `no public port '${key}' published for ${name}`);
    for (const binding of bindings) context.stdout.write(`${show(binding)}\n`);
    return 0;
  },
};
