import { spawn } from 'node:child_process';
import { mkdir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { CodedError, redact } from '#base/errors/index.ts';

/** What to take from which repository. */
export interface GitSource {
  readonly url: string;
  /** Branch, tag or commit; the remote's HEAD when absent. */
  readonly ref?: string;
  readonly subdir?: string;
}

/** Whether Docker takes this for a git repository: `git://`, `git@`, `github.com/…`, or a URL that ends in `.git`. */
export function isGitUrl(url: string): boolean {
  if (/^https?:\/\//.test(url)) return /\.git(?:#.+)?$/.test(url);
  return /^(?:git:\/\/|ssh:\/\/|github\.com\/|git@)/.test(url) || /^[^/:@\s]+@[^/:\s]+:/.test(url);
}

/**
 * Reads `url#ref:dir` as Docker does.
 * @throws {CodedError} `invalid_argument` for a transport that could run programs or read this host's files.
 */
export function parseGitUrl(text: string): GitSource {
  const hash = text.indexOf('#');
  const [address, fragment] = hash < 0 ? [text, ''] : [text.slice(0, hash), text.slice(hash + 1)];
  const colon = fragment.indexOf(':');
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const subdir = colon < 0 ? '' : fragment.slice(colon + 1);
  const url = address.startsWith('github.com/') ? `https://${address}` : address;
  if (
    url.startsWith('-') ||
    !/^(?:https?:\/\/|git:\/\/|ssh:\/\/|[^/:@\s-][^/:@\s]*@[^/:\s-][^/:\s]*:)/.test(url)
  )
    throw new CodedError('invalid_argument', `invalid git URL "${redact(text)}"`);
  if (ref.startsWith('-')) throw new CodedError('invalid_argument', `invalid git reference "${ref}"`);
  return { url, ...(ref === '' ? {} : { ref }), ...(subdir === '' ? {} : { subdir }) };
}

/**
 * Checks a repository out below `dir`, with its submodules. Only the transports http, https, git and ssh are allowed, for
 * submodules and redirects too; git asks nobody for a password.
 * @throws {CodedError} `unavailable` with git's own words, `not_found` for a missing directory.
 */
export async function cloneGit(
  source: GitSource,
  dir: string,
  options: { readonly keepGitDir: boolean; readonly signal: AbortSignal },
): Promise<{ readonly root: string; readonly commit: string }> {
  const { signal } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const git = (...args: readonly string[]): Promise<string> => runGit(dir, args, signal);
  await git('init', '--quiet');
  await git('remote', 'add', '--', 'origin', source.url);
  const wanted = source.ref ?? 'HEAD';
  try {
    await git('fetch', '--quiet', '--depth', '1', '--no-tags', 'origin', '--', wanted);
    await git('checkout', '--quiet', '--force', '--detach', 'FETCH_HEAD');
  } catch (error) {
    signal.throwIfAborted();
    // A server that cannot serve a single commit, or a commit that is no tip: everything, then.
    await git('fetch', '--quiet', '--tags', 'origin').catch(() => {
      throw error;
    });
    await git('checkout', '--quiet', '--force', '--detach', ...(await findCommit(git, wanted)));
  }
  await git('submodule', '--quiet', 'update', '--init', '--recursive', '--depth', '1');
  const commit = (await git('rev-parse', 'HEAD')).trim();
  if (!options.keepGitDir) await removeGitDirs(dir);
  return { root: await subdirectory(dir, source), commit };
}

async function findCommit(
  git: (...args: readonly string[]) => Promise<string>,
  wanted: string,
): Promise<readonly string[]> {
  if (wanted === 'HEAD') {
    const listing = await git('ls-remote', '--symref', 'origin', 'HEAD');
    const branch = /^ref: refs\/heads\/(\S+)\tHEAD/m.exec(listing)?.[1];
    if (branch !== undefined) return [`origin/${branch}`];
  }
  for (const name of [`refs/remotes/origin/${wanted}`, `refs/tags/${wanted}`, wanted]) {
    try {
      return [(await git('rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`)).trim()];
    } catch {
      // The next form of the name.
    }
  }
  throw new CodedError('not_found', `git reference "${wanted}" not found`);
}

async function subdirectory(dir: string, source: GitSource): Promise<string> {
  if (source.subdir === undefined) return dir;
  const top = await realpath(dir);
  const wanted = await realpath(join(dir, source.subdir)).catch(() => undefined);
  if (wanted === undefined || (wanted !== top && !wanted.startsWith(`${top}${sep}`)))
    throw new CodedError('not_found', `Error setting git context, not a directory "${source.subdir}"`);
  if (!(await stat(wanted)).isDirectory())
    throw new CodedError('invalid_argument', `Error setting git context, not a directory "${source.subdir}"`);
  return wanted;
}

async function removeGitDirs(dir: string): Promise<void> {
  // An own walk: a recursive readdir would follow a link out of the checkout.
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.name === '.git') await rm(path, { recursive: true, force: true });
    else if (entry.isDirectory()) await removeGitDirs(path);
  }
}

async function runGit(dir: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const settings = [
    'protocol.allow=never',
    ...ALLOWED.map((name) => `protocol.${name}.allow=always`),
    'core.hooksPath=/dev/null',
    'core.symlinks=true',
  ];
  // The daemon's own umask is 077; what a repository holds is for everyone.
  const child = spawn(
    '/bin/sh',
    ['-c', 'umask 022 && exec git "$@"', 'git', ...settings.flatMap((each) => ['-c', each]), ...args],
    {
      cwd: dir,
      env: {
        PATH: process.env['PATH'],
        HOME: dir,
        GIT_TERMINAL_PROMPT: '0',
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_ASKPASS: '/bin/false',
        GIT_SSH_COMMAND: 'ssh -oBatchMode=yes',
        GIT_LFS_SKIP_SMUDGE: '1',
        LC_ALL: 'C.UTF-8',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    },
  );
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err = `${err}${text}`.slice(-4096);
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? 1));
  let code: number;
  try {
    code = await promise;
  } catch (error) {
    signal.throwIfAborted();
    throw new CodedError('internal', `cannot run git: ${(error as Error).message}`, { cause: error });
  }
  signal.throwIfAborted();
  if (code === 0) return out;
  if (code === 127) {
    throw new CodedError('failed_precondition', 'cannot run git: it is not installed', {
      help: { id: 'build/git-missing', cause: 'git is not installed', fix: ['apt-get install git'] },
    });
  }
  throw new CodedError('unavailable', `error fetching: ${redact(err.trim()) || `git ended with ${code}`}`);
}

const ALLOWED = ['http', 'https', 'git', 'ssh'];
