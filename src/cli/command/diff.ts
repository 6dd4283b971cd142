import { escapeLine } from '#cli/output/index.ts';
import type { Command } from './types.ts';

const KINDS = ['C', 'A', 'D'] as const;

/** `slipway diff`. */
export const diff: Command = {
  usage: 'diff CONTAINER',
  summary: "Inspect changes to files or directories on a container's filesystem",
  minArgs: 1,
  maxArgs: 1,
  flags: [],
  async run(context, [name = '']) {
    const engine = await context.engine();
    const changes = await engine.call<readonly { Path: string; Kind: number }[] | null>(
      'GET',
      `/containers/${encodeURIComponent(name)}/changes`,
      { signal: context.signal },
    );
    for (const change of changes ?? [])
      context.stdout.write(`${KINDS[change.Kind] ?? '?'} ${escapeLine(change.Path)}\n`);
    return 0;
  },
};
