import { CodedError } from '#base/errors/index.ts';
import type { IgnoreText } from './types.ts';

/** The calls on an open tree that finding a Dockerfile needs. */
export interface TextTree {
  readText(path: string): Promise<{ readonly path: string; readonly text: string } | undefined>;
  list(path: string): Promise<readonly string[]>;
}

const DEFAULT_NAME = 'Dockerfile';

/**
 * Reads the Dockerfile of a context; where the default name is missing, its lower-case form is taken as in Docker.
 * @throws {CodedError} `invalid_argument` with Docker's text and what was found instead.
 */
export async function readDockerfile(
  tree: TextTree,
  wanted: string,
): Promise<{ readonly name: string; readonly text: string }> {
  const name = nameOf(wanted);
  if (name.split('/').includes('..')) {
    throw new CodedError('invalid_argument', `forbidden path outside the build context: ${wanted} ()`, {
      help: {
        id: 'build/outside-context',
        cause: 'the Dockerfile must be inside the build context when the engine reads it',
        fix: ['name a Dockerfile inside the context with -f'],
      },
    });
  }
  const found =
    (await tree.readText(name)) ?? (name === DEFAULT_NAME ? await tree.readText('dockerfile') : undefined);
  if (found !== undefined) return { name, text: found.text };
  throw await notLocated(tree, name);
}

/** Paths of what is read of a context before anything else, when `wanted` is its Dockerfile. */
export function listFirstTexts(wanted: string): readonly string[] {
  const name = nameOf(wanted);
  return [name, ...listIgnoreFiles(name)];
}

function listIgnoreFiles(dockerfile: string): readonly string[] {
  return [`${dockerfile}.dockerignore`, '.dockerignore'];
}

function nameOf(wanted: string): string {
  return wanted === '' ? DEFAULT_NAME : wanted.replace(/^(?:\.\/)+/, '').replace(/^\/+/, '');
}

/** The ignore file that counts: the Dockerfile's own, else the context's. */
export async function readIgnoreFile(tree: TextTree, dockerfile: string): Promise<IgnoreText | undefined> {
  const files = listIgnoreFiles(dockerfile);
  // Asked together: one turn to the thread that reads and back.
  const found = await Promise.all(files.map((file) => tree.readText(file)));
  return files.flatMap((file, i) => (found[i] === undefined ? [] : { file, text: found[i].text }))[0];
}

async function notLocated(tree: TextTree, name: string): Promise<CodedError> {
  const names = await tree.list('');
  const directory = name.split('/').slice(0, -1).join('/');
  const nested = directory === '' ? [] : (await tree.list(directory)).map((each) => `${directory}/${each}`);
  const candidates = [...nested, ...names]
    .filter((each) => /dockerfile|containerfile/i.test(each) && !each.endsWith('.dockerignore'))
    .slice(0, 5);
  const isEmpty = names.length === 0;
  return new CodedError('invalid_argument', `Cannot locate specified Dockerfile: ${name}`, {
    subject: { kind: 'file', name },
    data: { candidates },
    help: {
      id: 'build/no-dockerfile',
      cause: isEmpty ? 'the build context is empty' : `there is no file "${name}" in the build context`,
      fix:
        candidates.length > 0
          ? candidates.map((candidate) => `build with -f ${candidate}`)
          : ['create a Dockerfile in the directory you build, or name one with -f'],
    },
  });
}
