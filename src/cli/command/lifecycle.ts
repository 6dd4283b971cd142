/** What is done to containers by name: stop, kill, restart, rm, wait. */
import { hasCode } from '#base/errors/index.ts';
import type { Method, Query } from '#engine/client/index.ts';
import { forEachName } from './each.ts';
import type { CliContext, Command, Flag, Flags } from './types.ts';

const SIGNAL: Flag = { name: 'signal', short: 's', kind: 'string', help: 'Signal to send to the container' };
const TIME: Flag = {
  name: 'time',
  short: 't',
  kind: 'int',
  help: 'Seconds to wait before killing the container',
};
const TIMEOUT: Flag = { name: 'timeout', kind: 'int', help: 'Seconds to wait before killing the container' };

interface Action {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  readonly method: Method;
  readonly path: (container: string) => string;
  readonly query: (flags: Flags) => Query;
}

function action(options: Action): Command {
  return {
    usage: `${options.name} [OPTIONS] CONTAINER [CONTAINER...]`,
    summary: options.summary,
    minArgs: 1,
    maxArgs: Number.POSITIVE_INFINITY,
    flags: options.flags,
    run: (context, args, flags) => runAction(context, args, options, options.query(flags)),
  };
}

async function runAction(
  context: CliContext,
  names: readonly string[],
  options: Action,
  query: Query,
): Promise<number> {
  const engine = await context.engine();
  return forEachName(context, names, async (name) => {
    await engine.call(options.method, options.path(encodeURIComponent(name)), {
      query,
      signal: context.signal,
    });
    context.stdout.write(`${name}\n`);
  });
}

const waitOf = (flags: Flags): number | undefined => flags.int('time') ?? flags.int('timeout');

/** `slipway stop`. */
export const stop: Command = action({
  name: 'stop',
  summary: 'Stop one or more running containers',
  flags: [SIGNAL, TIME, TIMEOUT],
  method: 'POST',
  path: (container) => `/containers/${container}/stop`,
  query: (flags) => ({ t: waitOf(flags), signal: flags.string('signal') }),
});

/** `slipway restart`. */
export const restart: Command = action({
  name: 'restart',
  summary: 'Restart one or more containers',
  flags: [SIGNAL, TIME, TIMEOUT],
  method: 'POST',
  path: (container) => `/containers/${container}/restart`,
  query: (flags) => ({ t: waitOf(flags), signal: flags.string('signal') }),
});

/** `slipway kill`. */
export const kill: Command = action({
  name: 'kill',
  summary: 'Kill one or more running containers',
  flags: [SIGNAL],
  method: 'POST',
  path: (container) => `/containers/${container}/kill`,
  query: (flags) => ({ signal: flags.string('signal') }),
});

/** `slipway pause`. */
export const pause: Command = action({
  name: 'pause',
  summary: 'Pause all processes within one or more containers',
  flags: [],
  method: 'POST',
  path: (container) => `/containers/${container}/pause`,
  query: () => ({}),
});

/** `slipway unpause`. */
export const unpause: Command = action({
  name: 'unpause',
  summary: 'Unpause all processes within one or more containers',
  flags: [],
  method: 'POST',
  path: (container) => `/containers/${container}/unpause`,
  query: () => ({}),
});

const remove: Action = {
  name: 'rm',
  summary: 'Remove one or more containers',
  flags: [
    {
      name: 'force',
      short: 'f',
      kind: 'bool',
      help: 'Force the removal of a running container (uses SIGKILL)',
    },
    { name: 'link', short: 'l', kind: 'bool', help: 'Remove the specified link' },
    {
      name: 'volumes',
      short: 'v',
      kind: 'bool',
      help: 'Remove anonymous volumes associated with the container',
    },
  ],
  method: 'DELETE',
  path: (container) => `/containers/${container.replace(/^%2F/, '')}`,
  query: (flags) => ({ force: flags.bool('force'), link: flags.bool('link'), v: flags.bool('volumes') }),
};

/** `slipway rm`. With `--force` a container that is not there is no failure. */
export const rm: Command = {
  ...action(remove),
  async run(context, args, flags) {
    const engine = await context.engine();
    const query = remove.query(flags);
    return forEachName(context, args, async (name) => {
      try {
        await engine.call('DELETE', remove.path(encodeURIComponent(name)), { query, signal: context.signal });
      } catch (error) {
        if (!flags.bool('force') || !hasCode(error, 'not_found')) throw error;
        context.stderr.write(`Error response from daemon: ${error.message}\n`);
        return;
      }
      context.stdout.write(`${name}\n`);
    });
  },
};

/** `slipway wait`. */
export const wait: Command = {
  usage: 'wait CONTAINER [CONTAINER...]',
  summary: 'Block until one or more containers stop, then print their exit codes',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  flags: [],
  async run(context, args) {
    const engine = await context.engine();
    return forEachName(context, args, async (name) => {
      const path = `/containers/${encodeURIComponent(name)}/wait`;
      const { StatusCode: code } = await engine.call<{ StatusCode: number }>('POST', path, {
        signal: context.signal,
      });
      context.stdout.write(`${code}\n`);
    });
  },
};
