import { CodedError } from '#base/errors/index.ts';
import { followSize, proxySignals, readExitCode } from './run-attached.ts';
import { joinStreams } from './stream-io.ts';
import type { Command } from './types.ts';

/** What attach needs of a container's document. */
export interface ContainerState {
  readonly Id: string;
  readonly Name: string;
  readonly State: {
    readonly Running: boolean;
    readonly Paused?: boolean;
    readonly Restarting?: boolean;
    readonly ExitCode: number;
  };
  readonly Config: { readonly Tty: boolean; readonly OpenStdin: boolean };
  readonly HostConfig: { readonly AutoRemove?: boolean };
}

/** `slipway attach`. */
export const attach: Command = {
  usage: 'attach [OPTIONS] CONTAINER',
  summary: 'Attach local standard input, output, and error streams to a running container',
  minArgs: 1,
  maxArgs: 1,
  flags: [
    { name: 'detach-keys', kind: 'string', help: 'Override the key sequence for detaching a container' },
    { name: 'no-stdin', kind: 'bool', help: 'Do not attach STDIN' },
    { name: 'sig-proxy', kind: 'bool', default: true, help: 'Proxy all received signals to the process' },
  ],
  async run(context, [name = ''], flags) {
    const engine = await context.engine();
    const container = await engine.call<ContainerState>(
      'GET',
      `/containers/${encodeURIComponent(name)}/json`,
    );
    if (!container.State.Running)
      throw new CodedError('failed_precondition', 'cannot attach to a stopped container, start it first', {
        help: { id: 'attach/not-running', fix: [`${context.program} start -a ${name}`] },
      });
    if (container.State.Paused)
      throw new CodedError('failed_precondition', 'cannot attach to a paused container, unpause it first');
    const { Tty: tty } = container.Config;
    const stdin = container.Config.OpenStdin && !flags.bool('no-stdin');
    const detachKeys = flags.string('detach-keys');
    const id = container.Id;
    const waiting = await engine.send('POST', `/containers/${id}/wait`);
    const stream = await engine.hijack('POST', `/containers/${id}/attach`, {
      query: { stream: true, stdin, stdout: true, stderr: true, detachKeys },
    });
    const joined = joinStreams(context, stream, { tty, stdin, stdout: true, stderr: true, detachKeys });
    const stopSignals = flags.bool('sig-proxy') && !tty ? proxySignals(context, engine, id) : () => undefined;
    const stopResize = tty ? followSize(context, engine, `/containers/${id}`) : () => undefined;
    try {
      if ((await joined.ended) === 'ended') return await readExitCode(waiting);
      waiting.takeSocket().socket.destroy();
      return 0;
    } finally {
      stopResize();
      stopSignals();
      joined.release();
    }
  },
};
