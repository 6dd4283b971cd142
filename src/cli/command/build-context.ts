/** What `slipway build` sends: a directory, stdin, or the address of a remote context. */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { IgnoreMatcher, parseIgnoreFile } from '#dockerfile/ignore/index.ts';
import { type ExtraFile, packContext } from './context-walk.ts';
import { usageError } from './flags.ts';
import type { CliContext } from './types.ts';

/** A context ready to be sent. */
export interface BuildContext {
  /** Path of the Dockerfile inside the context, or on a remote one. */
  readonly dockerfile: string;
  readonly remote?: string;
  readonly stream?: () => AsyncIterable<Uint8Array>;
}

const STDIN_DOCKERFILE_LIMIT = 16 * 1024 * 1024;
const DEFAULT_NAME = 'Dockerfile';

/** Prepares the context. @throws {CodedError} with Docker's `unable to prepare context: …`. */
export async function prepareContext(
  context: CliContext,
  specified: string,
  file: string | undefined,
): Promise<BuildContext> {
  if (specified === '-') {
    if (file === '-')
      throw usageError("invalid argument: can't use stdin for both build context and dockerfile");
    return stdinContext(context, file);
  }
  const isFolder =
    statSync(resolve(context.workingDir, specified), { throwIfNoEntry: false })?.isDirectory() === true;
  if (!isFolder && isRemote(specified)) {
    if (file === '-') throw usageError('a Dockerfile from stdin cannot be combined with a remote context');
    return { remote: specified, dockerfile: file ?? '' };
  }
  return directoryContext(context, specified, file);
}

function isRemote(text: string): boolean {
  return /^(https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/)/.test(text) || /\.git(#.*)?$/.test(text);
}

async function stdinContext(context: CliContext, file: string | undefined): Promise<BuildContext> {
  const source = context.stdin[Symbol.asyncIterator]();
  const first = await source.next();
  const head = first.done ? Buffer.alloc(0) : Buffer.from(first.value);
  const rest: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => source };
  if (isArchive(head)) return { dockerfile: file ?? DEFAULT_NAME, stream: () => joined(head, rest) };
  // Not an archive: it is the Dockerfile itself, and there is nothing else in the context.
  const bytes = await readBounded(joined(head, rest));
  const path = file ?? DEFAULT_NAME;
  return {
    dockerfile: path,
    stream: async function* () {
      const { encodeTarHeader, paddingOf, TAR_END } = await import('#base/tar/index.ts');
      yield encodeTarHeader({ path, type: 'file', mode: 0o600, sizeBytes: bytes.byteLength });
      yield bytes;
      yield Buffer.alloc(paddingOf(bytes.byteLength));
      yield TAR_END;
    },
  };
}

function isArchive(head: Buffer): boolean {
  if (head.toString('latin1', 257, 262) === 'ustar') return true;
  const magics = ['1f8b', '425a68', 'fd377a585a00', '28b52ffd'];
  const hex = head.toString('hex', 0, 6);
  return magics.some((magic) => hex.startsWith(magic));
}

async function* joined(head: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.byteLength > 0) yield head;
  yield* rest;
}

async function readBounded(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    length += chunk.byteLength;
    if (length > STDIN_DOCKERFILE_LIMIT) throw usageError('the Dockerfile on stdin is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function directoryContext(
  context: CliContext,
  specified: string,
  file: string | undefined,
): Promise<BuildContext> {
  const path = resolve(context.workingDir, specified);
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory())
    throw new CodedError(
      'not_found',
      `unable to prepare context: path ${JSON.stringify(specified)} not found`,
      {
        help: { id: 'build/no-context-dir', cause: `${path} is no directory`, fix: [`ls ${dirname(path)}`] },
      },
    );
  const rootDir = realpathSync(path);
  if (file === '-') {
    const bytes = await readBounded(context.stdin);
    return sendDirectory(rootDir, hiddenName(), bytes, ignoreOf(rootDir, undefined));
  }
  const found = findDockerfile(context, rootDir, specified, file);
  const inside = relative(rootDir, found);
  const isOutside = inside === '..' || inside.startsWith(`..${sep}`);
  const ignore = ignoreOf(rootDir, found);
  if (isOutside) return sendDirectory(rootDir, hiddenName(), readFileSync(found), ignore);
  const dockerfile = inside.split(sep).join('/');
  return {
    dockerfile,
    // The engine reads both itself, whatever the patterns say.
    stream: () => packContext({ rootDir, ignore: keep(ignore, ['.dockerignore', dockerfile]), extra: [] }),
  };
}

function sendDirectory(
  rootDir: string,
  name: string,
  bytes: Uint8Array,
  ignore: readonly string[],
): BuildContext {
  const extra: ExtraFile[] = [{ path: name, bytes }];
  // The extra file must not be seen by COPY of the whole context.
  const own = existsSync(join(rootDir, '.dockerignore'))
    ? readFileSync(join(rootDir, '.dockerignore'), 'utf8')
    : '';
  extra.push({
    path: '.dockerignore',
    bytes: Buffer.from(`${own.replace(/\n?$/, '\n')}.dockerignore\n${name}\n`),
  });
  return { dockerfile: name, stream: () => packContext({ rootDir, ignore, extra }) };
}

function hiddenName(): string {
  return `.dockerfile.${randomBytes(10).toString('hex')}`;
}

function keep(ignore: readonly string[], paths: readonly string[]): readonly string[] {
  if (ignore.length === 0) return ignore;
  const matcher = new IgnoreMatcher(ignore);
  return [...ignore, ...paths.filter((path) => matcher.decide(path).ignored).map((path) => `!${path}`)];
}

/** `<Dockerfile>.dockerignore` wins over the context's own. */
function ignoreOf(rootDir: string, dockerfile: string | undefined): readonly string[] {
  const candidates = [
    ...(dockerfile === undefined ? [] : [`${dockerfile}.dockerignore`]),
    join(rootDir, '.dockerignore'),
  ];
  const path = candidates.find((candidate) => existsSync(candidate));
  return path === undefined ? [] : parseIgnoreFile(readFileSync(path, 'utf8'));
}

function findDockerfile(
  context: CliContext,
  rootDir: string,
  specified: string,
  file: string | undefined,
): string {
  const wanted =
    file === undefined
      ? [join(rootDir, DEFAULT_NAME), join(rootDir, 'dockerfile')]
      : [resolve(context.workingDir, file), resolve(rootDir, file)];
  const found = wanted.find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  if (found !== undefined) return realpathSync(found);
  const shown = file === undefined ? join(rootDir, DEFAULT_NAME) : resolve(context.workingDir, file);
  const others = looksLikeDockerfile(rootDir);
  const [first] = others;
  throw new CodedError(
    'not_found',
    `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${shown}: no such file or directory`,
    {
      help: {
        id: 'build/no-dockerfile',
        cause: `there is no ${basename(shown)} in ${dirname(shown)}${others.length > 0 ? `; found ${others.join(', ')}` : ''}`,
        ...(first === undefined
          ? {}
          : { fix: [`${context.program} build -f ${join(specified, first)} ${specified}`] }),
      },
    },
  );
}

function looksLikeDockerfile(rootDir: string): string[] {
  const matches = (name: string): boolean =>
    /dockerfile|containerfile/i.test(name) && !name.endsWith('.dockerignore');
  const entries = readdirSync(rootDir, { withFileTypes: true });
  const here = entries.filter((entry) => entry.isFile() && matches(entry.name)).map(({ name }) => name);
  const below = entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
    .slice(0, 50)
    .flatMap(({ name }) => {
      try {
        return readdirSync(join(rootDir, name))
          .filter(matches)
          .map((inner) => join(name, inner));
      } catch {
        return []; // a directory we may not read holds no suggestion
      }
    });
  return [...here, ...below].slice(0, 3);
}
