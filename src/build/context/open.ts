import { mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { peekBytes } from '#base/bytes/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { ContextSource } from '#build/types.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { Changesets } from '#store/changeset/types.ts';
import { SMALL_BYTES } from './small.ts';
import type { TreeSpec } from './types.ts';

/** What opening a context needs from elsewhere. */
export interface ContextTools {
  readonly changesets: Pick<Changesets, 'unpackLayer'>;
  /** `FileSession.unpackSmall`. */
  unpackSmall(call: SmallCall): Promise<SmallContext | undefined>;
  isGitUrl(url: string): boolean;
  cloneGit(url: string, dir: string, signal: AbortSignal): Promise<{ readonly root: string }>;
  download(url: string, path: string, signal: AbortSignal): Promise<{ readonly contentType: string }>;
}

/** A context that has arrived; ignore rules are not looked at yet. */
export interface ArrivedContext {
  readonly tree: TreeSpec;
  /** The remote context was a Dockerfile and nothing else. */
  readonly dockerfile?: string;
  /** Index of everything in it, when it came as an archive. */
  readonly indexPath?: string;
  /** What was found in it at once. */
  readonly small?: SmallContext;
}

/** A small archive, where it goes, and paths of texts to be read from it. */
export interface SmallCall {
  readonly archive: Uint8Array;
  readonly root: string;
  readonly indexPath: string;
  readonly texts: readonly string[];
}

/** What one turn to the thread has found out about a small context. */
export interface SmallContext {
  readonly indexDigest: Digest;
  /** Handle of the open tree, with nothing hidden. */
  readonly tree: number;
  /** In the order they were asked for; `undefined` where there is no such file. */
  readonly texts: readonly ({ readonly path: string; readonly text: string } | undefined)[];
}

const DOCKERFILE_LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * Brings the context of a build below `dir`: an archive is unpacked there (every file then belongs to root), a directory is left
 * where it is, a git repository is cloned, a URL fetched. `dir` is the build's own; it removes it.
 * @throws {CodedError} with the cause, after which `dir` may hold a part.
 */
export async function receiveContext(source: ContextSource, options: Options): Promise<ArrivedContext> {
  switch (source.kind) {
    case 'directory':
      await checkDirectory(source.path);
      return { tree: { kind: 'disk', root: source.path, fixedDirs: [], rootOwned: true } };
    case 'tar':
      return unpackStream(source.stream, options);
    case 'remote':
      return receiveRemote(source.url, options);
  }
}

interface Options {
  readonly dir: string;
  readonly tools: ContextTools;
  /** Files that will be read first. */
  readonly texts: readonly string[];
  readonly signal: AbortSignal;
}

async function checkDirectory(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  const state = found === undefined ? 'not found' : 'is no directory';
  throw new CodedError('invalid_argument', `unable to prepare context: path "${path}" ${state}`);
}

async function receiveRemote(url: string, options: Options): Promise<ArrivedContext> {
  const { dir, tools, signal } = options;
  if (tools.isGitUrl(url)) {
    const { root } = await tools.cloneGit(url, join(dir, 'git'), signal);
    return { tree: { kind: 'disk', root, fixedDirs: [], rootOwned: true } };
  }
  if (!/^https?:\/\//.test(url))
    throw new CodedError(
      'invalid_argument',
      `remote context "${url}" is neither a git repository nor an http URL`,
    );
  const path = join(dir, 'download');
  const { contentType } = await tools.download(url, path, signal);
  if (contentType.startsWith('text/plain') || !(await looksPacked(path))) {
    const root = join(dir, 'context');
    await mkdir(root, { mode: 0o755 });
    return {
      tree: { kind: 'disk', root, fixedDirs: [], rootOwned: true },
      dockerfile: await readSmallFile(path),
    };
  }
  return unpack({ path }, options);
}

async function unpackStream(source: AsyncIterable<Uint8Array>, options: Options): Promise<ArrivedContext> {
  const { head, stream } = await peekBytes(source, SMALL_BYTES + 1);
  if (head.length > SMALL_BYTES) return unpack({ stream }, options);
  const root = join(options.dir, 'context');
  const indexPath = join(options.dir, 'context-index');
  const { texts, tools } = options;
  const small = await tools.unpackSmall({ archive: head, root, indexPath, texts });
  if (small !== undefined) return { tree: { kind: 'index', root, indexPath }, indexPath, small };
  await rm(root, { recursive: true, force: true });
  return unpack({ stream }, options);
}

async function unpack(
  source: { readonly path: string } | { readonly stream: AsyncIterable<Uint8Array> },
  { dir, tools, signal }: Options,
): Promise<ArrivedContext> {
  const root = join(dir, 'context');
  const indexPath = join(dir, 'context-index');
  await mkdir(root, { mode: 0o755 });
  await tools.changesets.unpackLayer({
    source,
    compression: 'auto',
    targetDir: root,
    whiteouts: 'literal',
    indexPath,
    owner: { uid: 0, gid: 0 },
    signal,
  });
  return { tree: { kind: 'index', root, indexPath }, indexPath };
}

/** A tar or something compressed; text is neither. */
async function looksPacked(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(512);
    const { bytesRead } = await file.read(head, 0, 512, 0);
    const bytes = head.subarray(0, bytesRead);
    const magics = ['1f8b', '425a68', 'fd377a585a00', '28b52ffd'];
    return magics.some((magic) => bytes.toString('hex').startsWith(magic)) || bytes.includes(0);
  } finally {
    await file.close();
  }
}

/** A Dockerfile that was fetched or piped in. @throws {CodedError} `resource_exhausted`. */
export async function readSmallFile(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size > DOCKERFILE_LIMIT_BYTES)
      throw new CodedError(
        'resource_exhausted',
        `the Dockerfile is larger than ${DOCKERFILE_LIMIT_BYTES} bytes`,
      );
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
