import { existsSync, writeFileSync } from 'node:fs';
import { CodedError, hasCode } from '#base/errors/index.ts';
import type { EngineClient } from '#engine/client/index.ts';
import { parseReference, withDefaultTag } from '#oci/reference/index.ts';
import { type Attachment, containerBody } from './container-body.ts';
import { CONTAINER_FLAGS, RUN_FLAGS } from './container-flags.ts';
import { usageError } from './flags.ts';
import { pullImage } from './pull.ts';
import { runAttached } from './run-attached.ts';
import type { CliContext, Command, Flags } from './types.ts';

const ENGINE_EXIT = 125;

/** `slipway run`. */
export const run: Command = {
  usage: 'run [OPTIONS] IMAGE [COMMAND] [ARG...]',
  summary: 'Create and run a new container from an image',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  stopAtFirst: true,
  flags: [...CONTAINER_FLAGS, ...RUN_FLAGS],
  async run(context, args, flags) {
    try {
      return await runContainer(context, args, flags);
    } catch (error) {
      throw withExitCode(context, error);
    }
  },
};

/** `slipway create`. */
export const create: Command = {
  usage: 'create [OPTIONS] IMAGE [COMMAND] [ARG...]',
  summary: 'Create a new container',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  stopAtFirst: true,
  flags: CONTAINER_FLAGS,
  async run(context, args, flags) {
    const listed = flags.list('attach').map((name) => name.toLowerCase());
    const attach =
      listed.length > 0
        ? attachmentOf(listed)
        : { stdin: flags.bool('interactive'), stdout: true, stderr: true };
    const id = await createContainer(context, args, flags, attach);
    context.stdout.write(`${id}\n`);
    return 0;
  },
};

/** What the engine refuses is 125; a process that cannot be started 126 or 127. */
function withExitCode(context: CliContext, error: unknown): unknown {
  if (
    context.signal.aborted ||
    !(error instanceof CodedError) ||
    typeof error.data?.['exitCode'] === 'number'
  )
    return error;
  return new CodedError(error.code, error.message, {
    help: error.help,
    subject: error.subject,
    cause: error,
    data: { ...error.data, exitCode: startExitCode(error) },
  });
}

/** The exit code of a start that failed, read from the text as docker does: the API has no field for it. */
export function startExitCode(error: CodedError): number {
  // The same words about a file of ours, or a setting, are no failed start.
  if (!/OCI runtime|error gathering device/.test(error.message)) return ENGINE_EXIT;
  if (/executable file not found|no such file or directory|system cannot find the file/.test(error.message))
    return 127;
  if (
    /permission denied|is a directory|not a directory|exec format error/.test(error.message) &&
    error.data?.['endpoint'] === undefined
  )
    return 126;
  return ENGINE_EXIT;
}

async function runContainer(context: CliContext, args: readonly string[], flags: Flags): Promise<number> {
  const detach = flags.bool('detach');
  const listed = flags.list('attach').map((name) => name.toLowerCase());
  if (detach && listed.length > 0)
    throw usageError('conflicting options: cannot specify both --attach and --detach');
  if (detach && flags.bool('rm') && /^(always|unless-stopped|on-failure)/.test(flags.string('restart') ?? ''))
    throw usageError('conflicting options: cannot specify both --restart and --rm');
  if (flags.bool('tty') && flags.bool('interactive') && !detach && !context.stdin.isTTY)
    throw new CodedError('failed_precondition', 'the input device is not a TTY', { data: { exitCode: 1 } });
  const attach: Attachment = detach
    ? { stdin: false, stdout: false, stderr: false }
    : listed.length > 0
      ? attachmentOf(listed)
      : { stdin: flags.bool('interactive'), stdout: true, stderr: true };
  const id = await createContainer(context, args, flags, attach);
  const engine = await context.engine();
  if (detach) {
    await engine.call('POST', `/containers/${id}/start`, { signal: context.signal });
    context.stdout.write(`${id}\n`);
    return 0;
  }
  return runAttached(context, engine, id, {
    attach,
    tty: flags.bool('tty'),
    autoRemove: flags.bool('rm'),
    sigProxy: flags.bool('sig-proxy') && !flags.bool('tty'),
    detachKeys: flags.string('detach-keys'),
  });
}

function attachmentOf(names: readonly string[]): Attachment {
  const wrong = names.find((name) => !['stdin', 'stdout', 'stderr'].includes(name));
  if (wrong !== undefined)
    throw usageError(
      `invalid argument ${JSON.stringify(wrong)} for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR`,
    );
  return {
    stdin: names.includes('stdin'),
    stdout: names.includes('stdout'),
    stderr: names.includes('stderr'),
  };
}

async function createContainer(
  context: CliContext,
  [image = '', ...command]: readonly string[],
  flags: Flags,
  attach: Attachment,
): Promise<string> {
  const cidfile = flags.string('cidfile');
  if (cidfile !== undefined && existsSync(cidfile))
    throw new CodedError(
      'already_exists',
      `container ID file found, make sure the other container isn't running or delete ${cidfile}`,
    );
  const body = containerBody(context, image, command, flags, attach);
  const policy = flags.string('pull') ?? 'missing';
  if (!['always', 'missing', 'never'].includes(policy))
    throw usageError(`invalid pull option: '${policy}': must be one of "always", "missing" or "never"`);
  const engine = await context.engine();
  const query = { name: flags.string('name'), platform: flags.string('platform') };
  if (policy === 'always') await pullFor(context, image, flags);
  const post = (): Promise<Created> =>
    engine.call<Created>('POST', '/containers/create', { query, json: body, signal: context.signal });
  const created = await post().catch(async (error: unknown) => {
    if (policy === 'never' || !(await isMissingImage(error, engine, image))) throw error;
    context.stderr.write(`Unable to find image '${familiar(image)}' locally\n`);
    await pullFor(context, image, flags);
    return post();
  });
  for (const warning of created.Warnings ?? []) context.stderr.write(`WARNING: ${warning}\n`);
  if (cidfile !== undefined) writeFileSync(cidfile, created.Id);
  return created.Id;
}

interface Created {
  readonly Id: string;
  readonly Warnings?: readonly string[] | null;
}

async function isMissingImage(error: unknown, engine: EngineClient, image: string): Promise<boolean> {
  if (!hasCode(error, 'not_found')) return false;
  const response = await engine.send('GET', `/images/${encodeURIComponent(image)}/json`);
  response.takeSocket().socket.destroy();
  return response.status === 404;
}

function familiar(image: string): string {
  const reference = parseReference(image);
  return reference.tag === undefined && reference.digest === undefined ? `${image}:latest` : image;
}

async function pullFor(context: CliContext, image: string, flags: Flags): Promise<void> {
  const reference = withDefaultTag(parseReference(image));
  const tag = reference.digest ?? reference.tag;
  const platform = flags.string('platform');
  await pullImage(context, reference, {
    quiet: flags.bool('quiet'),
    toStderr: true,
    ...(tag === undefined ? {} : { tag }),
    ...(platform ? { platform } : {}),
  });
}
