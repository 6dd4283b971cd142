import { CodedError, hasCode } from '#base/errors/index.ts';
import { compileTemplate, escapeText, goJson } from '#cli/output/index.ts';
import type { EngineClient } from '#engine/client/index.ts';
import { forEachName } from './each.ts';
import { usageError } from './flags.ts';
import type { CliContext, Command, Flag } from './types.ts';

/** Kinds of objects in the order in which a bare name is looked for. */
const PATHS: Readonly<Record<string, (name: string) => string>> = {
  container: (name) => `/containers/${name}/json`,
  image: (name) => `/images/${name}/json`,
  network: (name) => `/networks/${name}`,
  volume: (name) => `/volumes/${name}`,
};

const FORMAT: Flag = {
  name: 'format',
  short: 'f',
  kind: 'string',
  help: "Format output using a custom template: 'json' or 'TEMPLATE'",
};
const SIZE: Flag = {
  name: 'size',
  short: 's',
  kind: 'bool',
  help: 'Display total file sizes if the type is container',
};

/** `slipway inspect`. */
export const inspect: Command = {
  usage: 'inspect [OPTIONS] NAME|ID [NAME|ID...]',
  summary: 'Return low-level information on Docker objects',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  flags: [FORMAT, SIZE, { name: 'type', kind: 'string', help: 'Only inspect objects of the given type' }],
  run(context, args, flags) {
    const type = flags.string('type');
    if (type !== undefined && type !== '' && !Object.hasOwn(PATHS, type))
      throw new CodedError(
        'invalid_argument',
        `unknown type: "${type}": must be one of ${Object.keys(PATHS)
          .sort()
          .map((known) => `"${known}"`)
          .join(', ')}`,
      );
    const kinds = type ? [type] : Object.keys(PATHS);
    return inspectNames(context, args, kinds, { format: flags.string('format'), size: flags.bool('size') });
  },
};

/** `slipway container inspect`. */
export const inspectContainer = inspectOf('container', [SIZE]);
/** `slipway image inspect`. */
export const inspectImage = inspectOf('image', []);
/** `slipway network inspect`. */
export const inspectNetwork = inspectOf('network', []);
/** `slipway volume inspect`. */
export const inspectVolume = inspectOf('volume', []);

function inspectOf(kind: string, flags: readonly Flag[]): Command {
  return {
    usage: `inspect [OPTIONS] ${kind.toUpperCase()} [${kind.toUpperCase()}...]`,
    summary: `Display detailed information on one or more ${kind}s`,
    minArgs: 1,
    maxArgs: Number.POSITIVE_INFINITY,
    flags: [FORMAT, ...flags],
    run: (context, args, values) =>
      inspectNames(context, args, [kind], {
        format: values.string('format'),
        size: flags.length > 0 && values.bool('size'),
      }),
  };
}

async function inspectNames(
  context: CliContext,
  names: readonly string[],
  kinds: readonly string[],
  options: { readonly format: string | undefined; readonly size: boolean },
): Promise<number> {
  const engine = await context.engine();
  const template =
    options.format && options.format !== 'json'
      ? compileTemplate(options.format.replaceAll('\\n', '\n'))
      : undefined;
  const found: unknown[] = [];
  const code = await forEachName(context, names, async (name) => {
    found.push(await findObject(engine, name, kinds, options.size, context.signal));
  });
  if (template !== undefined) {
    for (const value of found) {
      try {
        context.stdout.write(`${template(value)}\n`);
      } catch (error) {
        throw error instanceof CodedError ? usageless(error) : error;
      }
    }
  } else if (options.format === 'json')
    for (const value of found) context.stdout.write(`${escapeText(goJson(value))}\n`);
  else context.stdout.write(found.length === 0 ? '[]\n' : `${escapeText(goJson(found, '    '))}\n`);
  return code;
}

function usageless(error: CodedError): CodedError {
  return new CodedError(error.code, error.message, { data: { exitCode: 1 } });
}

async function findObject(
  engine: EngineClient,
  name: string,
  kinds: readonly string[],
  size: boolean,
  signal: AbortSignal,
): Promise<unknown> {
  if (name === '') throw usageError('name must not be empty');
  let missing: unknown;
  for (const kind of kinds) {
    const path = PATHS[kind]?.(encodeURIComponent(name));
    if (path === undefined) continue;
    try {
      return await engine.call<unknown>('GET', path, {
        query: { size: size && kind === 'container' },
        signal,
      });
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
      missing = error;
    }
  }
  if (kinds.length === 1) throw missing;
  throw new CodedError('not_found', `error: no such object: ${name}`, { subject: { kind: 'object', name } });
}
