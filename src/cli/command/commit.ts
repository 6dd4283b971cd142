import { familiarName, parseReference } from '#oci/reference/index.ts';
import type { Command } from './types.ts';

/** `slipway commit`. */
export const commit: Command = {
  usage: 'commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]',
  summary: "Create a new image from a container's changes",
  minArgs: 1,
  maxArgs: 2,
  flags: [
    {
      name: 'author',
      short: 'a',
      kind: 'string',
      help: 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")',
    },
    { name: 'change', short: 'c', kind: 'list', help: 'Apply Dockerfile instruction to the created image' },
    { name: 'message', short: 'm', kind: 'string', help: 'Commit message' },
    { name: 'pause', short: 'p', kind: 'bool', default: true, help: 'Pause container during commit' },
  ],
  async run(context, [container = '', name], flags) {
    const reference = name === undefined ? undefined : parseReference(name);
    const engine = await context.engine();
    const { Id: id } = await engine.call<{ Id: string }>('POST', '/commit', {
      query: {
        container,
        repo: reference === undefined ? undefined : familiarName(reference),
        tag: reference?.tag,
        author: flags.string('author'),
        comment: flags.string('message'),
        changes: flags.list('change'),
        pause: flags.bool('pause') ? '1' : '0',
      },
      signal: context.signal,
    });
    context.stdout.write(`${id}\n`);
    return 0;
  },
};
