import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { NEEDS_BUILD_HOST, type TestBuilder, withBuilder } from '../../test/support/build.ts';
import type { BuildRequest } from './types.ts';

const options = { skip: NEEDS_BUILD_HOST };

/** Serves the files of a directory, with the content type a map of endings gives. */
async function serve(
  dir: string,
  types: Readonly<Record<string, string>> = {},
): Promise<Server & { readonly base: string }> {
  const server = createServer((request, response) => {
    const path = join(dir, decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname));
    if (!existsSync(path)) return response.writeHead(404).end();
    const type = Object.entries(types).find(([ending]) => path.endsWith(ending))?.[1];
    if (type !== undefined) response.setHeader('content-type', type);
    return response.end(readFileSync(path));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(server, { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

const remote = (url: string, more: Partial<BuildRequest> = {}): Partial<BuildRequest> => ({
  context: { kind: 'remote', url },
  ...more,
});

function git(dir: string, ...args: readonly string[]): string {
  return execFileSync(
    'git',
    ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'init.defaultBranch=main', ...args],
    {
      cwd: dir,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HOME: dir, GIT_CONFIG_NOSYSTEM: '1' },
    },
  );
}

function makeRepository(dir: string): string {
  const work = join(dir, 'work');
  mkdirSync(join(work, 'sub'), { recursive: true });
  git(work, 'init', '--quiet');
  writeFileSync(join(work, 'Dockerfile'), 'FROM busybox\nCOPY where /where\n');
  writeFileSync(join(work, 'where'), 'main\n');
  writeFileSync(join(work, 'sub/Dockerfile'), 'FROM busybox\nCOPY . /ctx\n');
  writeFileSync(join(work, 'sub/inner'), 'inner\n');
  symlinkSync('/etc', join(work, 'outside'));
  git(work, 'add', '.');
  git(work, 'commit', '--quiet', '-m', 'one');
  git(work, 'checkout', '--quiet', '-b', 'side');
  writeFileSync(join(work, 'where'), 'side\n');
  git(work, 'commit', '--quiet', '-am', 'two');
  git(work, 'checkout', '--quiet', 'main');
  git(dir, 'clone', '--quiet', '--bare', 'work', 'repo.git');
  git(join(dir, 'repo.git'), 'update-server-info');
  return git(work, 'rev-parse', 'side').trim();
}

test('a git repository is a context: head, branch, commit, directory; nothing outside of it', options, () =>
  withBuilder(async ({ build, read, dir, list }) => {
    const commit = makeRepository(dir);
    const server = await serve(dir);
    try {
      const url = `${server.base}/repo.git`;
      assert.equal(read((await build({}, remote(url))).image, 'where'), 'main\n');
      assert.equal(read((await build({}, remote(`${url}#side`))).image, 'where'), 'side\n');
      assert.equal(read((await build({}, remote(`${url}#${commit}`))).image, 'where'), 'side\n');
      const { image } = await build({}, remote(`${url}#main:sub`));
      assert.deepEqual(
        list(image, 'ctx').map((line) => line.split(' ')[2] ?? ''),
        ['', 'Dockerfile', 'inner'],
      );
      await assert.rejects(build({}, remote(`${url}#main:outside`)), {
        message: /not a directory "outside"/,
      });
      await assert.rejects(build({}, remote(`${url}#nope`)), { code: /unavailable|not_found/ });
      await assert.rejects(build({}, remote('ext::sh -c "touch /tmp/owned"#x.git')), {
        code: 'invalid_argument',
      });
      await assert.rejects(build({}, remote('git@-oProxyCommand=x:y.git')), { code: 'invalid_argument' });
    } finally {
      server.close();
    }
    assert.deepEqual(
      readdirSync(join(dir, 'root/build')).filter((name) => !name.startsWith('trash')),
      ['mounts'],
    );
  }),
);

test('ADD of a git repository leaves .git out', options, () =>
  withBuilder(async ({ build, dir, list }) => {
    makeRepository(dir);
    const server = await serve(dir);
    try {
      const { image } = await build({ Dockerfile: `FROM busybox\nADD ${server.base}/repo.git#side /src\n` });
      assert.deepEqual(
        list(image, 'src').map((line) => line.split(' ')[2] ?? ''),
        ['', 'Dockerfile', 'outside', 'sub', 'sub/Dockerfile', 'sub/inner', 'where'],
      );
    } finally {
      server.close();
    }
  }),
);

test('a URL is a context: a tarball, or a Dockerfile alone; -f may be a URL', options, () =>
  withBuilder(async ({ build, read, dir }) => {
    const files = mkdtempSync(join(dir, 'served-'));
    mkdirSync(join(files, 'c'));
    writeFileSync(join(files, 'c/Dockerfile'), 'FROM busybox\nCOPY f /f\n');
    writeFileSync(join(files, 'c/f'), 'from a tarball\n');
    execFileSync('tar', ['-C', join(files, 'c'), '-czf', join(files, 'context.tar.gz'), '.']);
    writeFileSync(join(files, 'Plain'), 'FROM busybox\nRUN echo plain > /f\n');
    const server = await serve(files, { Plain: 'text/plain; charset=utf-8' });
    try {
      const packed = await build({}, remote(`${server.base}/context.tar.gz`));
      assert.equal(read(packed.image, 'f'), 'from a tarball\n');
      const plain = await build({}, remote(`${server.base}/Plain`));
      assert.equal(read(plain.image, 'f'), 'plain\n');
      const named = await build({ x: 'x' }, { dockerfile: `${server.base}/Plain` });
      assert.equal(read(named.image, 'f'), 'plain\n');
      await assert.rejects(build({}, remote(`${server.base}/nope.tar`)), { message: /with status 404/ });
      await assert.rejects(build({ Dockerfile: `FROM busybox\nADD ${server.base}/nope /x\n` }), {
        message: /with status 404/,
      });
    } finally {
      server.close();
    }
  }),
);

test('link-local addresses are not fetched, also behind a redirect', options, () =>
  withBuilder(async ({ build }) => {
    const server = createServer((_, response) =>
      response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data' }).end(),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      for (const url of [
        `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`,
        'http://169.254.169.254/x',
        'http://[::ffff:169.254.169.254]/x',
        'http://[fe80::1]/x',
      ]) {
        await assert.rejects(build({ Dockerfile: `FROM busybox\nADD ${url} /x\n` }), {
          code: 'permission_denied',
          message: /address .* is not allowed/,
        });
      }
    } finally {
      server.close();
    }
  }),
);

async function compressed(test: TestBuilder, program: readonly string[]): Promise<string> {
  const context = mkdtempSync(join(test.dir, 'packed-'));
  writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nCOPY f /f\n');
  writeFileSync(join(context, 'f'), 'packed\n');
  const [name = '', ...args] = program;
  const tar = execFileSync('tar', ['-C', context, '-cf', '-', '.']);
  // Begun when it is read: Node throws output away that nobody reads before the program ends.
  async function* stream(): AsyncGenerator<Uint8Array> {
    const pack = spawn(name, [...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    pack.stdin.end(tar);
    for await (const chunk of pack.stdout) yield chunk as Uint8Array;
  }
  const { image } = await test.build({}, { context: { kind: 'tar', stream: stream() } });
  return test.read(image, 'f');
}

test('a context may arrive compressed', options, () =>
  withBuilder(async (test) => {
    for (const program of [
      ['gzip', '-c'],
      ['bzip2', '-c'],
      ['xz', '-c'],
      ['zstd', '-c'],
    ])
      assert.equal(await compressed(test, program), 'packed\n', String(program[0]));
  }),
);

test(
  '.dockerignore counts for clients that do not apply it, and the file of the Dockerfile wins',
  options,
  () =>
    withBuilder(async ({ build, list }) => {
      const files = {
        Dockerfile: 'FROM busybox\nCOPY . /ctx\n',
        'My.Dockerfile': 'FROM busybox\nCOPY . /ctx\n',
        '.dockerignore': 'Dockerfile\n*.Dockerfile*\n.dockerignore\nsecret\nlogs\n!logs/keep\n',
        'My.Dockerfile.dockerignore': '*\n!app\n',
        secret: 's',
        app: 'a',
        'logs/drop': 'd',
        'logs/keep': 'k',
      };
      const namesOf = async (request: Partial<BuildRequest> = {}): Promise<readonly string[]> =>
        list((await build(files, request)).image, 'ctx').map((line) => line.split(' ')[2] ?? '');
      assert.deepEqual(await namesOf(), ['', 'app', 'logs', 'logs/keep']);
      assert.deepEqual(await namesOf({ dockerfile: 'My.Dockerfile' }), ['', 'app']);
      await assert.rejects(build({ ...files, Dockerfile: 'FROM busybox\nCOPY secret /\n' }), {
        message:
          'COPY failed: file not found in build context or excluded by .dockerignore: stat secret: file does not exist',
        help: {
          id: 'build/ignored',
          cause:
            'line 2 of the Dockerfile: "secret" is in the build context, but line 4 of .dockerignore excludes it: secret',
          fix: ['add the line !secret to .dockerignore, or copy another file'],
        },
      });
    }),
);

test('a directory is a context without being copied, and a Dockerfile may be a link inside it', options, () =>
  withBuilder(async ({ build, read, dir }) => {
    const context = mkdtempSync(join(dir, 'local-'));
    mkdirSync(join(context, 'real'));
    writeFileSync(join(context, 'real/Dockerfile'), 'FROM busybox\nCOPY real /real\n');
    writeFileSync(join(context, 'real/f'), 'f\n');
    symlinkSync('/real/Dockerfile', join(context, 'Dockerfile'));
    const { image } = await build({}, { context: { kind: 'directory', path: context } });
    assert.equal(read(image, 'real/f'), 'f\n');
    assert.equal(existsSync(join(context, 'real/f')), true);
    await assert.rejects(build({}, { context: { kind: 'directory', path: join(context, 'nope') } }), {
      code: /not_found|invalid_argument|internal/,
    });
  }),
);
