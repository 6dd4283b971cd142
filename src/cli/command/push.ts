import { CodedError } from '#base/errors/index.ts';
import type { ProgressMessage } from '#cli/output/index.ts';
import { familiarName, formatCanonical, parseReference, type Reference } from '#oci/reference/index.ts';
import { registryAuthHeader } from './credentials.ts';
import { usageError } from './flags.ts';
import { showMessages } from './pull.ts';
import type { CliContext, Command } from './types.ts';

/** `slipway push`; `push SOURCE TARGET` tags and pushes in one step. */
export const push: Command = {
  usage: 'push [OPTIONS] NAME[:TAG] [TARGET[:TAG]]',
  summary: 'Upload an image to a registry. With TARGET the local image NAME is pushed under that name',
  minArgs: 1,
  maxArgs: 2,
  flags: [
    { name: 'all-tags', short: 'a', kind: 'bool', help: 'Push all tags of an image to the repository' },
    { name: 'disable-content-trust', kind: 'bool', default: true, help: 'Skip image signing' },
    {
      name: 'platform',
      kind: 'string',
      help: 'Push a platform-specific manifest as a single-platform image',
    },
    { name: 'quiet', short: 'q', kind: 'bool', help: 'Suppress verbose output' },
  ],
  async run(context, [name = '', target], flags) {
    const quiet = flags.bool('quiet');
    const all = flags.bool('all-tags');
    if (target !== undefined) {
      if (all) throw usageError('--all-tags cannot be used with a target name');
      const { tagImage } = await import('./rmi.ts');
      await tagImage(context, name, target);
    }
    const reference = parseReference(target ?? name);
    if (all && reference.tag !== undefined)
      throw new CodedError('invalid_argument', "tag can't be used with --all-tags/-a");
    if (reference.digest !== undefined)
      throw new CodedError('invalid_argument', 'cannot push a digest reference');
    if (!all && reference.tag === undefined && !quiet) context.stdout.write('Using default tag: latest\n');
    const tag = all ? undefined : (reference.tag ?? 'latest');
    await pushImage(context, reference, tag, { quiet, platform: flags.string('platform') });
    if (quiet)
      context.stdout.write(`${formatCanonical(tag === undefined ? reference : { ...reference, tag })}\n`);
    return 0;
  },
};

async function pushImage(
  context: CliContext,
  reference: Reference,
  tag: string | undefined,
  options: { readonly quiet: boolean; readonly platform: string | undefined },
): Promise<void> {
  const [engine, auth] = await Promise.all([
    context.engine(),
    registryAuthHeader(context, reference.registry),
  ]);
  // Engines refuse a push without the header, even when nobody is signed in.
  const headers = 'x-registry-auth' in auth ? auth : { 'x-registry-auth': 'e30=' };
  const path = `/images/${encodeName(familiarName(reference))}/push`;
  const messages = engine.lines<ProgressMessage>('POST', path, {
    query: { tag, ...(options.platform ? { platform: options.platform } : {}) },
    headers,
    signal: context.signal,
  });
  await showMessages(context, messages, { quiet: options.quiet });
}

/** Slashes of a name are part of the route. */
function encodeName(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/');
}
