import { writeFileSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import {
  createProgressView,
  escapeText,
  formatSize,
  type ProgressMessage,
  type ProgressView,
  parseSize,
} from '#cli/output/index.ts';
import { type BuildContext, prepareContext } from './build-context.ts';
import { BUILD_FLAGS } from './build-flags.ts';
import { pairsOf, parseUlimit } from './container-body.ts';
import { registryConfigHeader } from './credentials.ts';
import { usageError } from './flags.ts';
import type { CliContext, Command, Flags } from './types.ts';

/** `slipway build`. */
export const build: Command = {
  usage: 'build [OPTIONS] PATH | URL | -',
  summary: 'Build an image from a Dockerfile',
  aliases: ['slipway image build', 'slipway builder build', 'slipway build'],
  minArgs: 0,
  maxArgs: 1,
  flags: BUILD_FLAGS,
  async run(context, [specified], flags) {
    if (specified === undefined) throw missingContext(context, flags);
    const prepared = await prepareContext(context, specified, flags.string('file'));
    const engine = await context.engine();
    const quiet = flags.bool('quiet');
    const headers = {
      'content-type': 'application/x-tar',
      ...(await registryConfigHeader(context)),
    };
    const plain = prepared.stream?.();
    const stream = plain !== undefined && flags.bool('compress') ? compressed(plain) : plain;
    const messages = engine.lines<BuildMessage>('POST', '/build', {
      query: {
        ...(await buildQuery(context, flags)),
        dockerfile: prepared.dockerfile,
        remote: prepared.remote,
      },
      headers,
      signal: context.signal,
      ...(stream === undefined ? {} : { stream: quiet ? stream : reportSending(context, prepared, stream) }),
    });
    const id = await showBuild(context, messages, quiet);
    const iidfile = flags.string('iidfile');
    if (iidfile !== undefined && id !== undefined) writeFileSync(iidfile, id);
    return 0;
  },
};

async function* compressed(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const [{ createGzip }, { Readable }, { pipeline }] = await Promise.all([
    import('node:zlib'),
    import('node:stream'),
    import('node:stream/promises'),
  ]);
  const gzip = createGzip({ level: 1 });
  const pumping = pipeline(Readable.from(stream, { objectMode: false }), gzip);
  pumping.catch(() => undefined); // the reader of gzip gets it too
  yield* gzip;
  await pumping;
}

interface BuildMessage extends ProgressMessage {
  readonly aux?: { readonly ID?: string };
}

function missingContext(context: CliContext, flags: Flags): CodedError {
  const tag = flags.list('tag')[0];
  const named = tag === undefined ? '' : ` -t ${tag}`;
  return new CodedError('invalid_argument', `'${context.program} build' requires 1 argument`, {
    data: { usage: true, exitCode: 1 },
    help: {
      id: 'build/no-context',
      cause: 'the folder to build from is missing; usually it is the current one, written as a dot',
      fix: [`${context.program} build${named} .`],
    },
  });
}

/** Tells how much of the context was sent, as docker does: growing on a terminal, once elsewhere. */
async function* reportSending(
  context: CliContext,
  _prepared: BuildContext,
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const { stdout } = context;
  const line = (bytes: number): string => `Sending build context to Docker daemon  ${formatSize(bytes, 4)}`;
  let sent = 0;
  let shownAt = 0;
  for await (const chunk of stream) {
    yield chunk;
    sent += chunk.byteLength;
    const now = performance.now();
    if (!stdout.isTTY || now - shownAt < 100) continue;
    shownAt = now;
    stdout.write(`\r${line(sent)}\x1b[K`);
  }
  stdout.write(`${stdout.isTTY ? '\r' : ''}${line(sent)}${stdout.isTTY ? '\x1b[K' : ''}\n`);
}

async function showBuild(
  context: CliContext,
  messages: AsyncIterable<BuildMessage>,
  quiet: boolean,
): Promise<string | undefined> {
  let id: string | undefined;
  let last = '';
  let view: ProgressView | undefined;
  try {
    for await (const message of messages) {
      if (message.aux?.ID !== undefined) id = message.aux.ID;
      if (message.stream !== undefined) {
        view?.end();
        view = undefined;
        last = message.stream;
        if (!quiet) context.stdout.write(escapeText(message.stream));
      } else if (message.status !== undefined && !quiet) {
        view ??= createProgressView(context.stdout);
        view.show(message);
      }
    }
  } finally {
    view?.end();
  }
  id ??= /(sha256:[0-9a-f]{64})/.exec(last)?.[1];
  if (quiet) context.stdout.write(`${id ?? last.trim()}\n`);
  return id;
}

async function buildQuery(
  context: CliContext,
  flags: Flags,
): Promise<Record<string, string | number | boolean | readonly string[] | undefined>> {
  const size = (name: string): number | undefined => {
    const text = flags.string(name);
    if (text === undefined) return undefined;
    if (text === '-1') return -1;
    const bytes = parseSize(text);
    if (bytes === undefined)
      throw usageError(
        `invalid argument ${JSON.stringify(text)} for "--${name}" flag: invalid size: '${text}'`,
      );
    return bytes;
  };
  const json = (value: unknown, isUsed: boolean): string | undefined =>
    isUsed ? JSON.stringify(value) : undefined;
  const args = await buildArgs(context, flags.list('build-arg'));
  return {
    t: flags.list('tag'),
    buildargs: json(args, Object.keys(args).length > 0),
    labels: json(pairsOf(flags.list('label')), flags.has('label')),
    cachefrom: json(
      flags.list('cache-from').flatMap((list) => list.split(',')),
      flags.has('cache-from'),
    ),
    ulimits: json(flags.list('ulimit').map(parseUlimit), flags.has('ulimit')),
    extrahosts: flags.list('add-host').map((host) => host.replace(/^([^:=]+)=/, '$1:')),
    securityopt: json(flags.list('security-opt'), flags.has('security-opt')),
    nocache: flags.bool('no-cache'),
    pull: flags.bool('pull'),
    q: flags.bool('quiet'),
    rm: flags.bool('rm') ? '1' : '0',
    forcerm: flags.bool('force-rm'),
    squash: flags.bool('squash'),
    target: flags.string('target'),
    platform: flags.string('platform'),
    networkmode: flags.string('network'),
    isolation: flags.string('isolation'),
    cgroupparent: flags.string('cgroup-parent'),
    memory: size('memory'),
    memswap: size('memory-swap'),
    shmsize: size('shm-size'),
    cpushares: flags.int('cpu-shares'),
    cpuperiod: flags.int('cpu-period'),
    cpuquota: flags.int('cpu-quota'),
    cpusetcpus: flags.string('cpuset-cpus'),
    cpusetmems: flags.string('cpuset-mems'),
    version: '1',
  };
}

const PROXY_KEYS: Readonly<Record<string, string>> = {
  httpProxy: 'HTTP_PROXY',
  httpsProxy: 'HTTPS_PROXY',
  noProxy: 'NO_PROXY',
  ftpProxy: 'FTP_PROXY',
  allProxy: 'ALL_PROXY',
};

/** Build arguments, with the proxies of config.json beneath them; a name alone takes our own value. */
async function buildArgs(
  context: CliContext,
  pairs: readonly string[],
): Promise<Record<string, string | null>> {
  const args: Record<string, string | null> = {};
  const { existsSync } = await import('node:fs');
  const proxies = existsSync(context.configPath) ? (await context.config()).proxies?.['default'] : undefined;
  for (const [key, value] of Object.entries(proxies ?? {})) {
    const name = PROXY_KEYS[key];
    if (name !== undefined) Object.assign(args, { [name]: value, [name.toLowerCase()]: value });
  }
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    if (equals >= 0) args[pair.slice(0, equals)] = pair.slice(equals + 1);
    else args[pair] = context.environment[pair] ?? null;
  }
  return args;
}
