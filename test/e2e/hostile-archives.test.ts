/**
 * Archives that were made to do harm, over every road by which an archive reaches an engine: load, import, pull, build context,
 * ADD and cp. The answer is an error or a tree inside its target; the host stays as it is, and so does the engine.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32, deflateRawSync } from 'node:zlib';
import { writeTar } from '#base/tar/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import { gather, member } from '../support/archive.ts';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_ENGINE, type TestDaemon, withDaemon } from '../support/daemon.ts';
import { file, folder, hardLink, type LayerEntry, link, tarOf } from '../support/layer-tar.ts';
import { startRegistry } from '../support/registry.ts';

const skip = NEEDS_ENGINE || NEEDS_BUSYBOX;

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function ask(
  daemon: TestDaemon,
  method: string,
  path: string,
  body: Buffer,
  headers = {},
): Promise<Answer> {
  const sending = request({
    socketPath: daemon.socketPath,
    method,
    path,
    headers: { 'content-type': 'application/x-tar', ...headers },
  });
  sending.on('error', () => {}); // an answer may come before all of the body was taken
  const answered = once(sending, 'response');
  sending.end(body);
  const [response] = (await answered) as [IncomingMessage];
  let text = '';
  for await (const part of response) text += String(part);
  return { status: response.statusCode ?? 0, text };
}

/** Whether an answer tells of an error: by its status, or in its last message. */
const hasFailed = ({ status, text }: Answer): boolean => status >= 400 || text.includes('"errorDetail"');

async function dockerArchiveOf(layer: Buffer): Promise<Buffer> {
  const rootfs = { type: 'layers', diff_ids: [digestOf(layer)] };
  return gather(
    writeTar([
      member('layer.tar', layer),
      member('config.json', { architecture: 'amd64', os: 'linux', config: {}, rootfs }),
      member('manifest.json', [{ Config: 'config.json', RepoTags: ['hostile:v1'], Layers: ['layer.tar'] }]),
    ]),
  );
}

type Road = (layer: Buffer) => Promise<Answer>;

/** A victim that nothing may change, and what it looks like. */
function makeCanary(): { readonly dir: string; look(): string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-canary-'));
  writeFileSync(join(dir, 'victim'), 'alive', { mode: 0o600 });
  for (const path of [join(dir, 'victim'), dir]) utimesSync(path, 1_600_000_000, 1_600_000_000);
  chmodSync(dir, 0o700);
  return {
    dir,
    look: () => {
      const of = (path: string) => {
        const { mode, uid, gid, mtimeMs, nlink, size } = statSync(path);
        return [mode, uid, gid, mtimeMs, nlink, size].join();
      };
      return [
        of(dir),
        of(join(dir, 'victim')),
        readFileSync(join(dir, 'victim'), 'utf8'),
        ...readdirSync(dir),
      ].join(' ');
    },
    remove: () => rmSync(dir, { recursive: true }),
  };
}

const up = '../'.repeat(24);

/** `isBad`: every road must refuse it; else it may be taken, inside the target. */
function attacksOn(
  dir: string,
): readonly { readonly name: string; readonly isBad: boolean; readonly entries: readonly LayerEntry[] }[] {
  const far = `${up}${dir.slice(1)}`;
  const some = file('some', 'x');
  return [
    {
      name: 'a file through a link',
      isBad: false,
      entries: [some, link('way', dir), file('way/victim', 'dead')],
    },
    {
      name: 'a file through a climbing link',
      isBad: false,
      entries: [some, link('way', far), file('way/victim', 'dead')],
    },
    {
      name: 'a directory through a link',
      isBad: false,
      entries: [some, link('w', '/'), folder(`w${dir}`, { mode: 0o777, uid: 7 })],
    },
    { name: 'a climbing name', isBad: true, entries: [some, file(`${far}/victim`, 'dead')] },
    { name: 'a climbing hard link', isBad: true, entries: [some, hardLink('x', `${far}/victim`)] },
    { name: 'a hard link to an absolute path', isBad: true, entries: [some, hardLink('x', `${dir}/victim`)] },
    {
      name: 'a hard link through a link',
      isBad: false,
      entries: [some, link('way', dir), hardLink('x', 'way/victim')],
    },
    { name: 'links in a circle', isBad: true, entries: [some, link('a', 'b'), link('b', 'a'), file('a/x')] },
    { name: 'a user past 32 bits', isBad: true, entries: [some, file('x', 'x', { uid: 2 ** 32 })] },
    { name: 'a name that is too long', isBad: true, entries: [some, file('n'.repeat(300))] },
  ];
}

/** A gzip member of 1200 MiB of zeros after a whole archive: 1.2 MB. */
function bombOf(archive: Buffer): Buffer {
  const part = deflateRawSync(Buffer.alloc(8 * 1024 * 1024), { level: 9 });
  const member = (raw: Buffer, plain: Buffer): Buffer => {
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(crc32(plain), 0);
    trailer.writeUInt32LE(plain.length, 4);
    return Buffer.concat([Buffer.from('1f8b0800000000000003', 'hex'), raw, trailer]);
  };
  const zeros = member(part, Buffer.alloc(8 * 1024 * 1024));
  return Buffer.concat([
    member(deflateRawSync(archive), archive),
    ...Array.from({ length: 140 }, () => zeros),
  ]);
}

test('a hostile archive harms neither the host nor the engine, whichever way it comes', { skip }, () =>
  withDaemon(async (daemon) => {
    await using registry = await startRegistry();
    const canary = makeCanary();
    const box = makeImageArchive({ tags: ['box:v1'] }).archive;
    assert.equal(hasFailed(await ask(daemon, 'POST', '/images/load', box)), false);
    const container = await createContainer(daemon);
    const roads = roadsTo(daemon, registry.url, container);
    const before = canary.look();
    try {
      for (const { name, isBad, entries } of attacksOn(canary.dir))
        for (const [road, send] of Object.entries(roads)) {
          const answer = await send(tarOf(...entries));
          if (isBad) assert.ok(hasFailed(answer), `${road}: ${name}: ${answer.status} ${answer.text}`);
          assert.doesNotMatch(
            answer.text,
            /internal|undefined|ENAMETOOLONG|Too many levels/i,
            `${road}: ${name}`,
          );
          assert.equal(canary.look(), before, `${road}: ${name}`);
        }
      for (const road of ['load', 'pull', 'context', 'cp'] as const) {
        const answer = await roads[road](bombOf(tarOf(file('some'))));
        assert.ok(hasFailed(answer), `${road}: a bomb: ${answer.status}`);
        assert.match(answer.text, /grows more than 1000-fold|not an? (image|tar)|invalid|layer/i, road);
      }
      assert.equal((await ask(daemon, 'GET', '/_ping', Buffer.alloc(0))).text, 'OK');
      const left = readdirSync(join(daemon.root, 'content/ingest')).filter(
        (name) => !name.startsWith('trash-'),
      );
      assert.deepEqual(left, [], 'nothing of what was refused lies about');
    } finally {
      canary.remove();
    }
  }),
);

async function createContainer(daemon: TestDaemon): Promise<string> {
  const body = Buffer.from(JSON.stringify({ Image: 'box:v1', Cmd: ['sleep', '600'] }));
  const answer = await ask(daemon, 'POST', '/containers/create', body, {
    'content-type': 'application/json',
  });
  const { Id } = JSON.parse(answer.text) as { Id: string };
  assert.equal((await ask(daemon, 'POST', `/containers/${Id}/start`, Buffer.alloc(0))).status, 204);
  return Id;
}

function roadsTo(daemon: TestDaemon, url: string, container: string) {
  const host = new URL(url).host;
  let count = 0;
  const context = (dockerfile: string, more: readonly LayerEntry[]): Buffer =>
    tarOf(file('Dockerfile', dockerfile), ...more);
  return {
    load: async (layer) => ask(daemon, 'POST', '/images/load', await dockerArchiveOf(layer)),
    import: (layer) => ask(daemon, 'POST', `/images/create?fromSrc=-&repo=imported&tag=v${count++}`, layer),
    pull: async (layer) => {
      const repository = `hostile${count++}`;
      await pushLayer(url, repository, layer);
      return ask(
        daemon,
        'POST',
        `/images/create?fromImage=${encodeURIComponent(`${host}/${repository}`)}&tag=v1`,
        Buffer.alloc(0),
      );
    },
    context: (layer) => {
      // Its own Dockerfile comes first; the archive's end is the layer's.
      const head = context('FROM scratch\nCOPY . /\n', []).subarray(0, 1024);
      return ask(
        daemon,
        'POST',
        '/build?nocache=1',
        layer[0] === 0x1f ? layer : Buffer.concat([head, layer]),
      );
    },
    add: (layer) =>
      ask(
        daemon,
        'POST',
        '/build?nocache=1',
        context('FROM scratch\nADD layer.tar /\n', [file('layer.tar', layer)]),
      ),
    'add to a place': (layer) =>
      ask(
        daemon,
        'POST',
        '/build?nocache=1',
        context('FROM scratch\nADD layer.tar /a/b/\n', [file('layer.tar', layer)]),
      ),
    cp: (layer) =>
      ask(daemon, 'PUT', `/containers/${container}/archive?path=${encodeURIComponent('/tmp')}`, layer),
  } satisfies Readonly<Record<string, Road>>;
}

async function pushLayer(url: string, repository: string, layer: Buffer): Promise<void> {
  const pushBlob = async (bytes: Buffer): Promise<string> => {
    const digest = digestOf(bytes);
    const response = await fetch(`${url}/v2/${repository}/blobs/uploads/?digest=${digest}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: new Uint8Array(bytes),
    });
    assert.equal(response.status, 201);
    return digest;
  };
  const rootfs = { type: 'layers', diff_ids: [digestOf(layer)] };
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs }));
  const isPacked = layer[0] === 0x1f;
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: await pushBlob(config),
      size: config.length,
    },
    layers: [
      {
        mediaType: `application/vnd.oci.image.layer.v1.tar${isPacked ? '+gzip' : ''}`,
        digest: await pushBlob(layer),
        size: layer.length,
      },
    ],
  };
  const response = await fetch(`${url}/v2/${repository}/manifests/v1`, {
    method: 'PUT',
    headers: { 'content-type': manifest.mediaType },
    body: JSON.stringify(manifest),
  });
  assert.equal(response.status, 201);
}
