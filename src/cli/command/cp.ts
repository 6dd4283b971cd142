import { lstatSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { formatSize } from '#cli/output/index.ts';
import type { EngineClient } from '#engine/client/index.ts';
import { extractTree } from './extract.ts';
import { writeAll } from './stream-io.ts';
import type { CliContext, Command, Flags } from './types.ts';

interface PathStat {
  readonly name: string;
  readonly size: number;
  /** Go's file mode: the directory bit is the topmost. */
  readonly mode: number;
  readonly linkTarget: string;
}

const GO_DIRECTORY = 0x80000000;

/** `slipway cp`. */
export const cp: Command = {
  usage: 'cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tslipway cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH',
  summary: 'Copy files/folders between a container and the local filesystem',
  minArgs: 2,
  maxArgs: 2,
  flags: [
    { name: 'archive', short: 'a', kind: 'bool', help: 'Archive mode (copy all uid/gid information)' },
    { name: 'follow-link', short: 'L', kind: 'bool', help: 'Always follow symbol link in SRC_PATH' },
    { name: 'quiet', short: 'q', kind: 'bool', help: 'Suppress progress output during copy' },
  ],
  async run(context, [source = '', target = ''], flags) {
    const from = splitContainer(source);
    const to = splitContainer(target);
    if (from !== undefined && to !== undefined)
      throw new CodedError('invalid_argument', 'copying between containers is not supported');
    const engine = await context.engine();
    if (from !== undefined) await copyOut(context, engine, from, target, flags);
    else if (to !== undefined) await copyIn(context, engine, source, to, flags);
    else throw new CodedError('invalid_argument', 'must specify at least one container source');
    return 0;
  },
};

interface ContainerPath {
  readonly container: string;
  readonly path: string;
}

function splitContainer(text: string): ContainerPath | undefined {
  if (text.startsWith('/') || text.startsWith('.')) return undefined;
  const colon = text.indexOf(':');
  if (colon < 0) return undefined;
  const path = text.slice(colon + 1);
  return { container: text.slice(0, colon), path: path.startsWith('/') ? path : `/${path}` };
}

function archivePath({ container }: ContainerPath): string {
  return `/containers/${encodeURIComponent(container)}/archive`;
}

async function statInside(engine: EngineClient, place: ContainerPath): Promise<PathStat | undefined> {
  const response = await engine.send('HEAD', archivePath(place), { query: { path: place.path } });
  response.takeSocket().socket.destroy();
  const header = response.headers['x-docker-container-path-stat'];
  if (response.status !== 200 || header === undefined) return undefined;
  return JSON.parse(Buffer.from(header, 'base64').toString('utf8')) as PathStat;
}

async function copyOut(
  context: CliContext,
  engine: EngineClient,
  from: ContainerPath,
  target: string,
  flags: Flags,
): Promise<void> {
  let place = from;
  const stat = await statInside(engine, place);
  if (flags.bool('follow-link') && stat?.linkTarget) place = { ...from, path: stat.linkTarget };
  const response = await engine.send('GET', archivePath(place), {
    query: { path: place.path },
    signal: context.signal,
  });
  if (response.status >= 400) {
    await engine.check(response);
    return;
  }
  if (target === '-') {
    for await (const chunk of response.body) await writeAll(context.stdout.stream, chunk);
    return;
  }
  const destination = resolve(context.workingDir, target);
  const present = statSync(destination, { throwIfNoEntry: false });
  const isContent = /\/\.$/.test(from.path);
  const isDirectory = ((stat?.mode ?? 0) & GO_DIRECTORY) !== 0;
  if (present === undefined && !statSync(dirname(destination), { throwIfNoEntry: false })?.isDirectory())
    throw new CodedError(
      'not_found',
      `invalid output path: directory ${JSON.stringify(dirname(destination))} does not exist`,
    );
  if (isDirectory && present?.isFile())
    throw new CodedError('invalid_argument', 'cannot copy a directory to a file');
  const placement =
    isContent && isDirectory
      ? { rootDir: destination, contentOnly: true }
      : present?.isDirectory()
        ? { rootDir: destination }
        : { rootDir: dirname(destination), topName: basename(destination) };
  const bytes = await extractTree(response.body, {
    ...placement,
    keepOwners: flags.bool('archive'),
  });
  if (!flags.bool('quiet'))
    context.stderr.write(`Successfully copied ${formatSize(bytes, 3)} to ${destination}\n`);
}

async function copyIn(
  context: CliContext,
  engine: EngineClient,
  source: string,
  to: ContainerPath,
  flags: Flags,
): Promise<void> {
  let target = to;
  let stat = await statInside(engine, to);
  if (stat?.linkTarget) {
    target = { ...to, path: stat.linkTarget };
    stat = await statInside(engine, target);
  }
  const isDirectory = ((stat?.mode ?? 0) & GO_DIRECTORY) !== 0;
  if (!isDirectory && /\/\.?$/.test(to.path)) {
    await engine.call('GET', `/containers/${encodeURIComponent(to.container)}/json`);
    throw new CodedError('not_found', 'no such directory');
  }
  if (source === '-') {
    if (!isDirectory)
      throw new CodedError(
        'invalid_argument',
        `destination "${to.container}:${to.path}" must be a directory`,
      );
    await upload(context, engine, target, context.stdin, flags);
    return;
  }
  const path = resolve(context.workingDir, source);
  const local = flags.bool('follow-link')
    ? statSync(path, { throwIfNoEntry: false })
    : lstatSync(path, { throwIfNoEntry: false });
  if (local === undefined) throw new CodedError('not_found', `lstat ${path}: no such file or directory`);
  if (local.isDirectory() && stat !== undefined && !isDirectory)
    throw new CodedError('invalid_argument', 'cannot copy directory');
  const isContent = /(^|\/)\.$/.test(source);
  const name = isDirectory ? (isContent ? '.' : basename(path)) : basename(target.path);
  const place = isDirectory ? target : { ...target, path: dirname(target.path) };
  let bytes = 0;
  const { packPath } = await import('./pack-path.ts');
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of packPath(path, name, {
      followLink: flags.bool('follow-link'),
      keepOwners: flags.bool('archive'),
    })) {
      bytes += chunk.byteLength;
      yield chunk;
    }
  };
  await upload(context, engine, place, counted(), flags);
  if (!flags.bool('quiet'))
    context.stderr.write(`Successfully copied ${formatSize(bytes, 3)} to ${to.container}:${to.path}\n`);
}

async function upload(
  context: CliContext,
  engine: EngineClient,
  place: ContainerPath,
  stream: AsyncIterable<Uint8Array>,
  flags: Flags,
): Promise<void> {
  await engine.call('PUT', archivePath(place), {
    query: { path: place.path, noOverwriteDirNonDir: true, copyUIDGID: flags.bool('archive') },
    headers: { 'content-type': 'application/x-tar' },
    stream,
    signal: context.signal,
  });
}
