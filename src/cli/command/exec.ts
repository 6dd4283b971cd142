import { CodedError } from '#base/errors/index.ts';
import type { EngineClient, HijackedStream } from '#engine/client/index.ts';
import { environmentOf } from './container-body.ts';
import { startExitCode } from './run.ts';
import { followSize } from './run-attached.ts';
import { joinStreams } from './stream-io.ts';
import type { Command } from './types.ts';

/** `slipway exec`. */
export const exec: Command = {
  usage: 'exec [OPTIONS] CONTAINER COMMAND [ARG...]',
  summary: 'Execute a command in a running container',
  minArgs: 2,
  maxArgs: Number.POSITIVE_INFINITY,
  stopAtFirst: true,
  flags: [
    { name: 'detach', short: 'd', kind: 'bool', help: 'Detached mode: run command in the background' },
    { name: 'detach-keys', kind: 'string', help: 'Override the key sequence for detaching a container' },
    { name: 'env', short: 'e', kind: 'list', help: 'Set environment variables' },
    { name: 'env-file', kind: 'list', help: 'Read in a file of environment variables' },
    { name: 'interactive', short: 'i', kind: 'bool', help: 'Keep STDIN open even if not attached' },
    { name: 'privileged', kind: 'bool', help: 'Give extended privileges to the command' },
    { name: 'tty', short: 't', kind: 'bool', help: 'Allocate a pseudo-TTY' },
    {
      name: 'user',
      short: 'u',
      kind: 'string',
      help: 'Username or UID (format: "<name|uid>[:<group|gid>]")',
    },
    { name: 'workdir', short: 'w', kind: 'string', help: 'Working directory inside the container' },
  ],
  async run(context, [container = '', ...command], flags) {
    const tty = flags.bool('tty');
    const detach = flags.bool('detach');
    const stdin = flags.bool('interactive') && !detach;
    if (tty && stdin && !context.stdin.isTTY)
      throw new CodedError('failed_precondition', 'the input device is not a TTY', { data: { exitCode: 1 } });
    const engine = await context.engine();
    const detachKeys = flags.string('detach-keys');
    const { Id: id } = await engine.call<{ Id: string }>(
      'POST',
      `/containers/${encodeURIComponent(container)}/exec`,
      {
        json: {
          AttachStdin: stdin,
          AttachStdout: !detach,
          AttachStderr: !detach,
          Cmd: command,
          Tty: tty,
          Env: environmentOf(context, flags.list('env-file'), flags.list('env')),
          Privileged: flags.bool('privileged'),
          User: flags.string('user') ?? '',
          WorkingDir: flags.string('workdir') ?? '',
          Detach: detach,
          ...(detachKeys === undefined ? {} : { DetachKeys: detachKeys }),
        },
      },
    );
    if (detach) {
      await engine.call('POST', `/exec/${id}/start`, { json: { Detach: true, Tty: tty } });
      return 0;
    }
    const stream = await startExec(engine, id, tty);
    const joined = joinStreams(context, stream, { tty, stdin, stdout: true, stderr: true, detachKeys });
    const stopResize = tty ? followSize(context, engine, `/exec/${id}`) : () => undefined;
    try {
      if ((await joined.ended) === 'detached') return 0;
    } finally {
      stopResize();
      joined.release();
    }
    const { ExitCode: code } = await engine.call<{ ExitCode: number | null }>('GET', `/exec/${id}/json`);
    return code ?? 0;
  },
};

async function startExec(engine: EngineClient, id: string, tty: boolean): Promise<HijackedStream> {
  try {
    return await engine.hijack('POST', `/exec/${id}/start`, { json: { Detach: false, Tty: tty } });
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const data = { ...error.data, exitCode: startExitCode(error) };
    throw new CodedError(error.code, error.message, { help: error.help, data });
  }
}
