import { CodedError } from '#base/errors/index.ts';
import { createProgressView, type ProgressMessage } from '#cli/output/index.ts';
import { familiarName, formatCanonical, parseReference, type Reference } from '#oci/reference/index.ts';
import { registryAuthHeader } from './credentials.ts';
import type { CliContext, Command } from './types.ts';

/** `slipway pull`. */
export const pull: Command = {
  usage: 'pull [OPTIONS] NAME[:TAG|@DIGEST]',
  summary: 'Download an image from a registry',
  minArgs: 1,
  maxArgs: 1,
  flags: [
    { name: 'all-tags', short: 'a', kind: 'bool', help: 'Download all tagged images in the repository' },
    { name: 'disable-content-trust', kind: 'bool', default: true, help: 'Skip image verification' },
    { name: 'platform', kind: 'string', help: 'Set platform if server is multi-platform capable' },
    { name: 'quiet', short: 'q', kind: 'bool', help: 'Suppress verbose output' },
  ],
  async run(context, [name = ''], flags) {
    const reference = parseReference(name);
    const all = flags.bool('all-tags');
    if (all && (reference.tag ?? reference.digest) !== undefined)
      throw new CodedError('invalid_argument', "tag can't be used with --all-tags/-a");
    const tag = reference.digest ?? reference.tag ?? 'latest';
    const quiet = flags.bool('quiet');
    if (!quiet && !all && reference.tag === undefined && reference.digest === undefined)
      context.stdout.write('Using default tag: latest\n');
    const platform = flags.string('platform');
    await pullImage(context, reference, {
      quiet,
      ...(all ? {} : { tag }),
      ...(platform ? { platform } : {}),
    });
    const named = reference.digest || all ? reference : { ...reference, tag };
    context.stdout.write(`${formatCanonical(named)}\n`);
    return 0;
  },
};

/** Pulls one image (or all tags, without `tag`) and shows the progress on stdout, or on stderr for `run`. */
export async function pullImage(
  context: CliContext,
  reference: Reference,
  options: {
    readonly tag?: string;
    readonly platform?: string;
    readonly quiet?: boolean;
    readonly toStderr?: boolean;
  },
): Promise<void> {
  const [engine, headers] = await Promise.all([
    context.engine(),
    registryAuthHeader(context, reference.registry),
  ]);
  const messages = engine.lines<ProgressMessage>('POST', '/images/create', {
    query: { fromImage: familiarName(reference), tag: options.tag, platform: options.platform },
    headers,
    signal: context.signal,
  });
  await showMessages(context, messages, options);
}

/** Shows a stream of progress to its end. */
export async function showMessages(
  context: CliContext,
  messages: AsyncIterable<ProgressMessage>,
  options: {
    readonly quiet?: boolean;
    readonly toStderr?: boolean;
    readonly onMessage?: (message: ProgressMessage) => void;
  },
): Promise<void> {
  const view = options.quiet
    ? undefined
    : createProgressView(options.toStderr ? context.stderr : context.stdout);
  try {
    for await (const message of messages) {
      options.onMessage?.(message);
      if (message.aux === undefined) view?.show(message);
    }
  } finally {
    view?.end();
  }
}
