import type { Command } from './types.ts';

/** `slipway rename`. */
export const rename: Command = {
  usage: 'rename CONTAINER NEW_NAME',
  summary: 'Rename a container',
  minArgs: 2,
  maxArgs: 2,
  flags: [],
  async run(context, [container = '', name = '']) {
    const engine = await context.engine();
    await engine.call('POST', `/containers/${encodeURIComponent(container)}/rename`, {
      query: { name },
      signal: context.signal,
    });
    return 0;
  },
};
