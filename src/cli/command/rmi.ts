import { CodedError } from '#base/errors/index.ts';
import { familiarName, parseReference, withDefaultTag } from '#oci/reference/index.ts';
import { forEachName } from './each.ts';
import type { Command } from './types.ts';

/** `slipway rmi`. */
export const rmi: Command = {
  usage: 'rmi [OPTIONS] IMAGE [IMAGE...]',
  summary: 'Remove one or more images',
  aliases: ['slipway image rm', 'slipway image remove', 'slipway rmi'],
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  flags: [
    { name: 'force', short: 'f', kind: 'bool', help: 'Force removal of the image' },
    { name: 'no-prune', kind: 'bool', help: 'Do not delete untagged parents' },
  ],
  async run(context, args, flags) {
    const engine = await context.engine();
    const query = { force: flags.bool('force'), noprune: flags.bool('no-prune') };
    const code = await forEachName(context, args, async (name) => {
      const steps = await engine.call<readonly { Untagged?: string; Deleted?: string }[]>(
        'DELETE',
        `/images/${encodeURIComponent(name)}`,
        { query, signal: context.signal },
      );
      for (const step of steps)
        context.stdout.write(
          step.Deleted === undefined ? `Untagged: ${step.Untagged}\n` : `Deleted: ${step.Deleted}\n`,
        );
    });
    return flags.bool('force') ? 0 : code;
  },
};

/** `slipway tag`. */
export const tag: Command = {
  usage: 'tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  summary: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE',
  minArgs: 2,
  maxArgs: 2,
  flags: [],
  async run(context, [source = '', target = ''], _flags) {
    await tagImage(context, source, target);
    return 0;
  },
};

/** Gives an image one more name. */
export async function tagImage(
  context: Parameters<Command['run']>[0],
  source: string,
  target: string,
): Promise<void> {
  const reference = withDefaultTag(parseReference(target));
  if (reference.digest !== undefined)
    throw new CodedError('invalid_argument', 'refusing to create a tag with a digest reference');
  const engine = await context.engine();
  await engine.call('POST', `/images/${encodeURIComponent(source)}/tag`, {
    query: { repo: familiarName(reference), tag: reference.tag ?? '' },
    signal: context.signal,
  });
}
