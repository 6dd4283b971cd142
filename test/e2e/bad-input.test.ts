/** What `slipway` says to a wrong input: Docker's message, the place, and the command or change that puts it right. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_ENGINE, type TestDaemon, withDaemon } from '../support/daemon.ts';

const PROGRAM = resolve(import.meta.dirname, '../../bin/slipway');
const FROM = 'FROM box:v1\n';

interface BadInput {
  readonly args: readonly string[];
  /** A build of these files; `args` are further flags. */
  readonly context?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly code?: number;
  /** What standard error must say, in order. */
  readonly says: readonly (string | RegExp)[];
}

const BUILDS: readonly BadInput[] = [
  {
    args: [],
    context: { Dockerfile: `${FROM}RUM ls\n` },
    says: [
      'error[dockerfile/unknown-instruction]: dockerfile parse error on line 2: unknown instruction: RUM (did you mean RUN?)',
      'fix:   replace RUM by RUN',
    ],
  },
  {
    args: [],
    context: { Dockerfile: `${FROM}COPY --chwon=1 a b\n` },
    says: [
      'error[dockerfile/unknown-flag]: dockerfile parse error on line 2: unknown flag: --chwon',
      'fix:   replace --chwon by --ch',
    ],
  },
  {
    args: [],
    context: { Dockerfile: `${FROM}\nCOPY main.c /\n`, 'src/main.c': '' },
    says: [
      'error[build/missing]: COPY failed: file not found in build context or excluded by .dockerignore: stat main.c: file does not exist',
      'cause: line 3 of the Dockerfile: "main.c" is not in the build context',
      'fix:   did you mean src/main.c?',
    ],
  },
  {
    args: [],
    context: { Dockerfile: `${FROM}COPY main.c /\n`, 'main.c': '', '.dockerignore': '# sources\n*.c\n' },
    says: ['error[build/ignored]: COPY failed: ', 'line 2 of .dockerignore', 'fix:   add the line !main.c'],
  },
  {
    args: [],
    context: { Dockerfile: `${FROM}COPY ../x /\n` },
    says: [
      'error[build/outside-context]: COPY failed: forbidden path outside the build context: ../x',
      'line 2 of the Dockerfile',
    ],
  },
  {
    args: [],
    context: { Dockerfile: `${FROM}RUN exit 3\n` },
    code: 3,
    says: [
      "error[build/run-failed]: The command '/bin/sh -c exit 3' returned a non-zero code: 3",
      'line 2 of the Dockerfile',
    ],
  },
  {
    args: [],
    context: { Dockerfile: 'FROM box:V1:x\n' },
    says: ['error[ref/invalid]: invalid reference format', 'line 1 of the Dockerfile: "V1:x" is no tag'],
  },
  {
    args: ['-t', 'Bad:v1'],
    context: { Dockerfile: FROM },
    code: 125,
    says: [
      'error[ref/uppercase]: invalid argument "Bad:v1" for "-t, --tag" flag: invalid reference format: repository name (library/Bad) must be lowercase',
      'fix:   did you mean bad?',
    ],
  },
  {
    args: [],
    context: { 'dockerfile.txt': FROM },
    says: [
      'error[build/no-dockerfile]: unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ',
      'found dockerfile.txt',
      /fix: {3}slipway build -f .*dockerfile\.txt/,
    ],
  },
  {
    args: [],
    context: { Dockerfile: '' },
    says: ['the Dockerfile (Dockerfile) cannot be empty'],
  },
];

const COMMANDS: readonly BadInput[] = [
  { args: ['build'], says: ['error[build/no-context]: ', 'fix:   slipway build .'] },
  {
    args: ['build', '--taget', 'x', '.'],
    code: 125,
    says: ['unknown flag: --taget', 'fix:   did you mean --target?'],
  },
  {
    args: ['pull', 'localhost:1/x'],
    says: [
      'error[registry/unreachable]: Get "http://localhost:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
      'cause: nothing listens at 127.0.0.1:1',
    ],
  },
  { args: ['pull', 'x:!'], says: ['error[ref/invalid]: invalid reference format', '"!" is no tag'] },
  {
    args: ['push', 'ann/box:v1'],
    says: [
      'error[push/no-local-tag]: An image does not exist locally with the tag: ann/box',
      'cause: it is here as box:v1',
      'fix:   slipway tag box:v1 ann/box:v1 && slipway push ann/box:v1',
    ],
  },
  { args: ['load'], input: 'not a tar', says: ['error[archive/invalid]: invalid tar: ', 'slipway import'] },
  {
    args: ['import', '-'],
    input: 'not a tar',
    says: ['error[import/invalid]: invalid tar: ', 'slipway load'],
  },
  { args: ['tag', 'nosuch', 'y'], says: ['No such image: nosuch:latest'] },
  { args: ['rmi', 'nosuch'], says: ['No such image: nosuch:latest'] },
  { args: ['logs', 'nosuch'], says: ['No such container: nosuch'] },
];

test(
  'a wrong input is answered with its place and its fix, and leaves nothing behind',
  { skip: NEEDS_ENGINE || NEEDS_BUSYBOX },
  () =>
    withDaemon(async (daemon) => {
      load(daemon);
      const before = stateOf(daemon);
      for (const bad of [...BUILDS, ...COMMANDS]) check(daemon, bad);
      assert.equal(stateOf(daemon), before);
    }),
);

function check(daemon: TestDaemon, { args, context, input = '', code = 1, says }: BadInput): void {
  const words = context === undefined ? args : ['build', ...args, contextOf(daemon, context)];
  const { status, stderr } = run(daemon, words, input);
  const shown = `slipway ${words.join(' ')}\n${stderr}`;
  assert.equal(status, code, shown);
  let rest = stderr;
  for (const wanted of says) {
    const at = typeof wanted === 'string' ? rest.indexOf(wanted) : rest.search(wanted);
    assert.ok(at >= 0, `${shown}does not say ${wanted}`);
    rest = rest.slice(at);
  }
}

function contextOf(daemon: TestDaemon, files: Readonly<Record<string, string>>): string {
  const context = mkdtempSync(join(daemon.dir, 'context-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(context, path)), { recursive: true });
    writeFileSync(join(context, path), text);
  }
  return context;
}

function load(daemon: TestDaemon): void {
  const { archive } = makeImageArchive({ tags: ['box:v1'] });
  assert.equal(run(daemon, ['load', '-q'], archive).status, 0);
}

/** Images, containers and mounts of the engine. */
function stateOf(daemon: TestDaemon): string {
  const images = run(daemon, ['images', '-a', '--no-trunc'], '').stdout;
  const containers = run(daemon, ['ps', '-a', '--no-trunc'], '').stdout;
  const mounts = spawnSync('grep', [`${daemon.root}/`, '/proc/mounts'], { encoding: 'utf8' }).stdout;
  return `${images}${containers}${mounts}`;
}

function run(
  daemon: TestDaemon,
  args: readonly string[],
  input: string | Buffer,
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(PROGRAM, args, {
    input,
    encoding: 'utf8',
    env: { ...process.env, DOCKER_HOST: daemon.host, DOCKER_CONFIG: daemon.dir },
  });
  return { status, stdout, stderr };
}
