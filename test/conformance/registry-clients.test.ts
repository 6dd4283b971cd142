/** Real clients against the hub program: skopeo, buildah and podman over plain HTTP on loopback. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';

const has = (program: string) => spawnSync(program, ['--version']).status === 0;
const missing = ['skopeo', 'buildah', 'podman'].filter((program) => !has(program));
const skip =
  missing.length > 0
    ? `${missing.join(', ')} not installed`
    : process.getuid?.() !== 0
      ? 'buildah and podman need root here'
      : false;

let hub: TestHub;
let dir: string;

before(async () => {
  if (skip !== false) return;
  dir = mkdtempSync(join(tmpdir(), 'slipway-clients-'));
  hub = await startHub({ args: ['--anonymous-pull'] });
});
after(async () => {
  if (skip !== false) return;
  await hub.dispose();
  rmSync(dir, { recursive: true, force: true });
});

function run(program: string, args: readonly string[]): { readonly ok: boolean; readonly output: string } {
  const done = spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, REGISTRY_AUTH_FILE: join(dir, 'auth.json'), HOME: dir },
  });
  return { ok: done.status === 0, output: `${done.stdout}${done.stderr}` };
}

function must(program: string, args: readonly string[]): string {
  const { ok, output } = run(program, args);
  assert.ok(ok, `${program} ${args.join(' ')}: ${output}`);
  return output;
}

const storage = (name: string) => [
  '--storage-driver',
  'vfs',
  '--root',
  join(dir, name),
  '--runroot',
  join(dir, `${name}-run`),
];
const CREDENTIALS = `${ADMIN.username}:${ADMIN.password}`;

test('buildah logs in, builds and pushes; podman pulls the same image; skopeo copies it', { skip }, () => {
  const buildah = storage('buildah');
  const name = `${hub.host}/${ADMIN.username}/demo:v1`;
  const login = ['login', '--tls-verify=false', '-u', ADMIN.username, '-p', ADMIN.password, hub.host];
  assert.match(must('buildah', login), /Login Succeeded/);
  writeFileSync(join(dir, 'hello'), 'hello\n');
  writeFileSync(join(dir, 'random'), Buffer.alloc(3_000_000, 'slipway'));
  const container = must('buildah', [...buildah, 'from', 'scratch']).trim();
  must('buildah', [...buildah, 'copy', container, join(dir, 'hello'), join(dir, 'random'), '/']);
  must('buildah', [...buildah, 'commit', container, name]);
  must('buildah', [...buildah, 'push', '--tls-verify=false', name]);

  const podman = storage('podman');
  must('podman', [...podman, 'pull', '--tls-verify=false', name]);
  const copy = `docker://${hub.host}/${ADMIN.username}/copy:v2`;
  must('skopeo', ['copy', '--src-tls-verify=false', '--dest-tls-verify=false', `docker://${name}`, copy]);
  const digestOf = (reference: string) =>
    (JSON.parse(must('skopeo', ['inspect', '--tls-verify=false', reference])) as { Digest: string }).Digest;
  assert.equal(digestOf(copy), digestOf(`docker://${name}`));

  const layout = join(dir, 'layout');
  must('skopeo', ['copy', '--src-tls-verify=false', copy, `oci:${layout}:v2`]);
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string }[];
  };
  assert.equal(index.manifests[0]?.digest, digestOf(copy));
  must('skopeo', ['delete', '--tls-verify=false', copy]);
  assert.match(run('skopeo', ['inspect', '--tls-verify=false', copy]).output, /manifest unknown/);
  for (const args of [buildah, podman])
    spawnSync(args === buildah ? 'buildah' : 'podman', [...args, 'rmi', '-af']);
});

test('skopeo is told in docker’s words when it must not push', { skip }, () => {
  const target = `docker://${hub.host}/${ADMIN.username}/demo:v3`;
  const source = `docker://${hub.host}/${ADMIN.username}/demo:v1`;
  const anonymous = ['copy', '--no-creds', '--src-tls-verify=false', '--dest-tls-verify=false'];
  const { ok, output } = run('skopeo', [
    ...anonymous.filter((flag) => flag !== '--no-creds'),
    '--src-creds',
    CREDENTIALS,
    '--dest-no-creds',
    source,
    target,
  ]);
  assert.equal(ok, false);
  assert.match(
    output,
    /denied: requested access to the resource is denied|unauthorized: authentication required/,
  );
});

test('a wrong password is refused with its own words', { skip }, () => {
  const source = `docker://${hub.host}/${ADMIN.username}/demo:v1`;
  const { ok, output } = run('skopeo', [
    'inspect',
    '--tls-verify=false',
    '--creds',
    `${ADMIN.username}:wrong`,
    source,
  ]);
  assert.equal(ok, false);
  assert.match(output, /incorrect username or password/);
});
