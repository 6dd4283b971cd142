import { CodedError } from '#base/errors/index.ts';
import { frame } from '#container/index.ts';
import type { ContainerRecord, LogEntry, LogQuery } from '#container/types.ts';
import { parseUnixNanos } from '#engine/protocol/index.ts';
import type { RequestContext, Route } from '../core/index.ts';
import type { ContainerBackend } from './backend.ts';

const RAW = 'application/vnd.docker.raw-stream';
const FRAMED = 'application/vnd.docker.multiplexed-stream';
/** Lines are gathered into writes of about this size. */
const WRITE_BYTES = 64 * 1024;

/** `logs`, `attach` and its form over a WebSocket. */
export function streamRoutes(backend: ContainerBackend): Route[] {
  return [
    {
      method: 'GET',
      path: '/containers/:id/logs',
      summary: 'Read a container’s log',
      handler: (context) => logs(backend, context),
    },
    {
      method: 'POST',
      path: '/containers/:id/attach',
      summary: 'Attach to a container',
      hijacks: true,
      handler: (context) => attach(backend, context),
    },
    {
      method: 'GET',
      path: '/containers/:id/attach/ws',
      summary: 'Attach over a WebSocket (not part of this engine yet)',
      handler: () => {
        throw new CodedError('unimplemented', 'attaching over a WebSocket is not part of this engine yet');
      },
    },
  ];
}

/** The content type of a stream for this client: before 1.42 there was only one name. */
export function streamType(context: RequestContext, tty: boolean): string {
  return tty || !context.atLeast(42) ? RAW : FRAMED;
}

async function logs(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const record = backend.containers.get(context.params['id'] ?? '');
  const [stdout, stderr] = [query.flag('stdout'), query.flag('stderr')];
  if (!stdout && !stderr) {
    throw new CodedError('invalid_argument', 'Bad parameters: you must choose at least one stream');
  }
  const tty = record.config.Tty === true;
  const asked: LogQuery = {
    stdout,
    stderr,
    follow: query.flag('follow'),
    tail: tailOf(query.get('tail')),
    since: momentOf(query.get('since')),
    until: momentOf(query.get('until')),
    signal: context.signal,
  };
  const entries = backend.containers.logs(record.id, asked);
  const labels = query.flag('details') ? detailsOf(record) : '';
  context.flushHeaders(200, { 'Content-Type': streamType(context, tty) });
  const encode = (entry: LogEntry): Buffer => {
    const time = query.flag('timestamps') ? `${entry.time} ` : '';
    const data = Buffer.from(`${time}${labels}${entry.text}`);
    return tty ? data : frame(entry.stream, data);
  };
  for await (const chunk of gather(entries, encode, asked.follow)) await context.write(chunk);
  context.response.end();
}

/** Joins entries into larger writes; with `follow` each goes out at once, for a reader is waiting. */
async function* gather(
  entries: AsyncIterable<LogEntry>,
  encode: (entry: LogEntry) => Buffer,
  follow: boolean,
): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const entry of entries) {
    const data = encode(entry);
    if (follow) {
      yield data;
      continue;
    }
    held.push(data);
    bytes += data.length;
    if (bytes < WRITE_BYTES) continue;
    yield Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  if (held.length > 0) yield Buffer.concat(held);
}

function tailOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '' || text === 'all') return undefined;
  // As Docker: what is no number means all.
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function momentOf(text: string | undefined): bigint | undefined {
  if (text === undefined || text === '' || text === '0') return undefined;
  return parseUnixNanos(text);
}

/** What `--log-opt labels=…` and `env=…` name, as Docker puts it before each line; always with its blank. */
function detailsOf({ config, hostConfig }: ContainerRecord): string {
  const options = hostConfig.LogConfig?.Config ?? {};
  const named = (option: string): readonly string[] => (options[option] ?? '').split(',');
  const env = new Map((config.Env ?? []).map((entry) => splitOnce(entry)));
  const labels = new Map(Object.entries(config.Labels ?? {}));
  const found = [
    ...named('labels').map((name) => [name, labels.get(name)] as const),
    ...named('env').map((name) => [name, env.get(name)] as const),
  ];
  const words = found.flatMap(([name, value]) =>
    value === undefined ? [] : [`${encodeURIComponent(name)}=${encodeURIComponent(value)}`],
  );
  return `${words.sort().join(',')} `;
}

function splitOnce(entry: string): readonly [string, string] {
  const at = entry.indexOf('=');
  return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
}

async function attach(backend: ContainerBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const stream = query.flag('stream');
  const attachment = await backend.containers.attach(context.params['id'] ?? '', {
    stdin: query.flag('stdin') && stream,
    stdout: query.flag('stdout'),
    stderr: query.flag('stderr'),
    logs: query.flag('logs'),
    stream,
    detachKeys: query.get('detachKeys') ?? '',
  });
  await attachment.run(
    context.hijack({ contentType: streamType(context, attachment.tty) }),
    context.request.socket,
  );
}
