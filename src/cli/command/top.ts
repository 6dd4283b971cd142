import { formatTable } from '#cli/output/index.ts';
import type { Command } from './types.ts';

/** `slipway top`. */
export const top: Command = {
  usage: 'top CONTAINER [ps OPTIONS]',
  summary: 'Display the running processes of a container',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  stopAtFirst: true,
  flags: [],
  async run(context, [container = '', ...options]) {
    const engine = await context.engine();
    const { Titles: titles, Processes: processes } = await engine.call<{
      Titles: readonly string[];
      Processes: readonly (readonly string[])[] | null;
    }>('GET', `/containers/${encodeURIComponent(container)}/top`, {
      query: { ps_args: options.length === 0 ? undefined : options.join(' ') },
      signal: context.signal,
    });
    context.stdout.write(formatTable([titles, ...(processes ?? [])], 20));
    return 0;
  },
};
