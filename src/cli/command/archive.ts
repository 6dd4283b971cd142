/** Image and container archives: save, load, import, export. */
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CodedError, isSystemError, messageOf } from '#base/errors/index.ts';
import type { ProgressMessage } from '#cli/output/index.ts';
import { familiarName, parseReference } from '#oci/reference/index.ts';
import { checkOutputPath } from './output-path.ts';
import { showMessages } from './pull.ts';
import { writeAll } from './stream-io.ts';
import type { CliContext, Command } from './types.ts';

/** `slipway save`. */
export const saveImages: Command = {
  usage: 'save [OPTIONS] IMAGE [IMAGE...]',
  summary: 'Save one or more images to a tar archive (streamed to STDOUT by default)',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  flags: [
    { name: 'output', short: 'o', kind: 'string', help: 'Write to a file, instead of STDOUT' },
    {
      name: 'platform',
      kind: 'string',
      help: 'Save only the given platform variant. Formatted as "os[/arch[/variant]]"',
    },
  ],
  async run(context, args, flags) {
    const engine = await context.engine();
    const output = flags.string('output');
    refuseTerminal(context, output, 'save');
    const platform = flags.string('platform');
    const bytes = engine.bytes('GET', '/images/get', {
      query: { names: args, platform: platform ? platformJson(platform) : undefined },
      signal: context.signal,
    });
    await receive(context, bytes, { output, what: 'save image' });
    return 0;
  },
};

/** `slipway export`. */
export const exportContainer: Command = {
  usage: 'export [OPTIONS] CONTAINER',
  summary: "Export a container's filesystem as a tar archive",
  minArgs: 1,
  maxArgs: 1,
  flags: [{ name: 'output', short: 'o', kind: 'string', help: 'Write to a file, instead of STDOUT' }],
  async run(context, [name = ''], flags) {
    const engine = await context.engine();
    const output = flags.string('output');
    refuseTerminal(context, output, 'export');
    const path = `/containers/${encodeURIComponent(name)}/export`;
    const bytes = engine.bytes('GET', path, { signal: context.signal });
    await receive(context, bytes, { output, what: 'export container' });
    return 0;
  },
};

/** `slipway load`. */
export const loadImages: Command = {
  usage: 'load [OPTIONS]',
  summary: 'Load an image from a tar archive or STDIN',
  minArgs: 0,
  maxArgs: 0,
  flags: [
    { name: 'input', short: 'i', kind: 'string', help: 'Read from tar archive file, instead of STDIN' },
    {
      name: 'platform',
      kind: 'string',
      help: 'Load only the given platform variant. Formatted as "os[/arch[/variant]]"',
    },
    { name: 'quiet', short: 'q', kind: 'bool', help: 'Suppress the load output' },
  ],
  async run(context, _args, flags) {
    const input = flags.string('input');
    if (input === undefined && context.stdin.isTTY)
      throw new CodedError('invalid_argument', 'requested load from stdin, but stdin is empty', {
        help: { id: 'load/no-input', fix: [`${context.program} load -i FILE.tar`] },
      });
    const platform = flags.string('platform');
    const engine = await context.engine();
    const quiet = flags.bool('quiet') || !context.stdout.isTTY;
    const messages = engine.lines<ProgressMessage>('POST', '/images/load', {
      query: { quiet, platform: platform ? platformJson(platform) : undefined },
      headers: { 'content-type': 'application/x-tar' },
      stream: input === undefined ? context.stdin : openFile(input),
      signal: context.signal,
    });
    await showMessages(context, messages, {});
    return 0;
  },
};

/** `slipway import`. */
export const importImage: Command = {
  usage: 'import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]',
  summary: 'Import the contents from a tarball to create a filesystem image',
  minArgs: 1,
  maxArgs: 2,
  flags: [
    { name: 'change', short: 'c', kind: 'list', help: 'Apply Dockerfile instruction to the created image' },
    { name: 'message', short: 'm', kind: 'string', help: 'Set commit message for imported image' },
    { name: 'platform', kind: 'string', help: 'Set platform if server is multi-platform capable' },
  ],
  async run(context, [source = '', name], flags) {
    const engine = await context.engine();
    const reference = name === undefined ? undefined : parseReference(name);
    const isUrl = /^https?:\/\//.test(source);
    const messages = engine.lines<ProgressMessage>('POST', '/images/create', {
      query: {
        fromSrc: isUrl ? source : '-',
        repo: reference === undefined ? undefined : familiarName(reference),
        tag: reference?.tag,
        message: flags.string('message'),
        changes: flags.list('change'),
        platform: flags.string('platform'),
      },
      ...(isUrl
        ? {}
        : {
            headers: { 'content-type': 'application/x-tar' },
            stream: source === '-' ? context.stdin : openFile(source),
          }),
      signal: context.signal,
    });
    await showMessages(context, messages, {});
    return 0;
  },
};

/** The platform parameter of archives is a JSON document. */
function platformJson(text: string): string {
  const [os = '', architecture = '', variant] = text.split('/');
  return JSON.stringify({ os, architecture, ...(variant ? { variant } : {}) });
}

function openFile(path: string): AsyncIterable<Uint8Array> {
  if (!existsSync(path)) throw new CodedError('not_found', `open ${path}: no such file or directory`);
  return createReadStream(path, { highWaterMark: 1024 * 1024 });
}

function refuseTerminal(context: CliContext, output: string | undefined, verb: string): void {
  if (output !== undefined || !context.stdout.isTTY) return;
  throw new CodedError(
    'invalid_argument',
    'cowardly refusing to save to a terminal. Use the -o flag or redirect',
    { help: { id: `${verb}/terminal`, fix: [`${context.program} ${verb} -o FILE.tar NAME`] } },
  );
}

/** Writes to stdout, or to a file that appears only when it is whole. */
async function receive(
  context: CliContext,
  bytes: AsyncIterable<Uint8Array>,
  { output, what }: { readonly output: string | undefined; readonly what: string },
): Promise<void> {
  if (output === undefined) {
    for await (const chunk of bytes) await writeAll(context.stdout.stream, chunk);
    return;
  }
  checkOutputPath(output, what);
  const temporary = `${output}.${process.pid}.tmp`;
  try {
    await pipeline(
      Readable.from(bytes, { objectMode: false }),
      createWriteStream(temporary, { flags: 'wx', mode: 0o600 }),
    );
    await rename(temporary, output);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    if (isSystemError(error, 'ENOENT'))
      throw new CodedError(
        'not_found',
        `failed to ${what}: invalid output path: stat ${dirname(output)}: no such file or directory`,
        { cause: error },
      );
    throw error instanceof CodedError
      ? error
      : new CodedError('failed_precondition', messageOf(error), { cause: error });
  }
}
