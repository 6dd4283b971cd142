import { CodedError } from '#base/errors/index.ts';
import type { ContainerState } from './attach.ts';
import { forEachName } from './each.ts';
import { runAttached } from './run-attached.ts';
import type { Command } from './types.ts';

/** `slipway start`. */
export const start: Command = {
  usage: 'start [OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Start one or more stopped containers',
  minArgs: 1,
  maxArgs: Number.POSITIVE_INFINITY,
  flags: [
    { name: 'attach', short: 'a', kind: 'bool', help: 'Attach STDOUT/STDERR and forward signals' },
    { name: 'detach-keys', kind: 'string', help: 'Override the key sequence for detaching a container' },
    { name: 'interactive', short: 'i', kind: 'bool', help: "Attach container's STDIN" },
  ],
  async run(context, args, flags) {
    const engine = await context.engine();
    const interactive = flags.bool('interactive');
    if (!flags.bool('attach') && !interactive) {
      return forEachName(context, args, async (name) => {
        await engine.call('POST', `/containers/${encodeURIComponent(name)}/start`, {
          signal: context.signal,
        });
        context.stdout.write(`${name}\n`);
      });
    }
    const [name = ''] = args;
    if (args.length > 1)
      throw new CodedError('invalid_argument', 'you cannot start and attach multiple containers at once');
    const container = await engine.call<ContainerState>(
      'GET',
      `/containers/${encodeURIComponent(name)}/json`,
    );
    const { Tty: tty } = container.Config;
    return runAttached(context, engine, container.Id, {
      attach: { stdin: interactive && container.Config.OpenStdin, stdout: true, stderr: true },
      tty,
      autoRemove: container.HostConfig.AutoRemove === true,
      sigProxy: !tty,
      detachKeys: flags.string('detach-keys'),
    });
  },
};
