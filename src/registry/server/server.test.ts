import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRegistry, type TestRegistry } from '../../../test/support/registry.ts';
import type { RegistryEvent } from './types.ts';

const digestOf = (bytes: Uint8Array, algorithm = 'sha256') =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

function send(hub: TestRegistry, method: string, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${hub.url}${path}`, { method, ...init });
}

async function begin(hub: TestRegistry): Promise<string> {
  const answer = await send(hub, 'POST', '/v2/a/b/blobs/uploads/');
  assert.equal(answer.status, 202);
  return answer.headers.get('location') ?? '';
}

async function pushBlob(hub: TestRegistry, bytes: Uint8Array, repository = 'a/b'): Promise<string> {
  const digest = digestOf(bytes);
  const answer = await send(hub, 'POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
    body: Buffer.from(bytes),
  });
  assert.equal(answer.status, 201);
  return digest;
}

function manifestFor(config: Uint8Array, layers: readonly Uint8Array[]): string {
  const descriptor = (bytes: Uint8Array) => ({
    mediaType: 'application/octet-stream',
    digest: digestOf(bytes),
    size: bytes.byteLength,
  });
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor(config),
    layers: layers.map(descriptor),
  });
}

function putManifest(hub: TestRegistry, tag: string, body: string, repository = 'a/b'): Promise<Response> {
  return send(hub, 'PUT', `/v2/${repository}/manifests/${tag}`, {
    body,
    headers: { 'content-type': MANIFEST_TYPE },
  });
}

/** Sends the head and part of a body, then cuts the connection. */
async function cutInTheMiddle(
  hub: TestRegistry,
  path: string,
  part: Uint8Array,
  declared: number,
): Promise<void> {
  const request = httpRequest(`${hub.url}${path}`, {
    method: 'PATCH',
    headers: { 'content-length': declared },
  });
  request.on('error', () => {});
  await new Promise<void>((resolve) => request.write(part, () => resolve()));
  await sleep(100);
  request.destroy();
}

async function offsetOf(hub: TestRegistry, location: string): Promise<string | null> {
  const answer = await send(hub, 'GET', location);
  assert.equal(answer.status, 204);
  return answer.headers.get('range');
}

describe('uploads', () => {
  test('a session goes on after a restart, by an algorithm it did not begin with', async () => {
    await using first = await startRegistry();
    const bytes = randomBytes(3_000_000);
    const location = await begin(first);
    const empty = await begin(first);
    assert.equal((await send(first, 'PATCH', location, { body: bytes.subarray(0, 1_234_567) })).status, 202);
    await first.stop();
    await using second = await startRegistry({ root: first.root });
    assert.equal(await offsetOf(second, location), '0-1234566');
    assert.equal(await offsetOf(second, empty), '0-0');
    const digest = digestOf(bytes, 'sha512');
    const put = await send(second, 'PUT', `${location}?digest=${digest}`, {
      body: bytes.subarray(1_234_567),
    });
    assert.equal(put.status, 201);
    const got = await send(second, 'GET', put.headers.get('location') ?? '');
    assert.ok(Buffer.from(await got.arrayBuffer()).equals(bytes));
  });

  test('a client that goes away leaves what arrived, and goes on from there', async () => {
    await using hub = await startRegistry();
    const bytes = randomBytes(2_500_000);
    const location = await begin(hub);
    await cutInTheMiddle(hub, location, bytes.subarray(0, 1_500_000), bytes.byteLength);
    await sleep(100);
    const end = Number((await offsetOf(hub, location))?.slice(2)) + 1;
    assert.ok(end > 1 && end <= 1_500_000, `${end} bytes were kept`);
    const digest = digestOf(bytes);
    const rest = {
      body: bytes.subarray(end),
      headers: { 'content-range': `${end}-${bytes.byteLength - 1}` },
    };
    assert.equal((await send(hub, 'PUT', `${location}?digest=${digest}`, rest)).status, 201);
  });

  test('a request on a session takes the place of one that hangs', async () => {
    await using hub = await startRegistry();
    const location = await begin(hub);
    const hanging = httpRequest(`${hub.url}${location}`, {
      method: 'PATCH',
      headers: { 'content-length': 100 },
    });
    const broken = new Promise((resolve) => hanging.on('error', resolve));
    hanging.write('0123456789');
    await sleep(100);
    const bytes = randomBytes(50);
    const put = await send(hub, 'PUT', `${location}?digest=${digestOf(bytes)}`, {
      body: bytes,
      headers: { 'content-range': '0-49' },
    });
    // The ten bytes that arrived were kept, so the client is told where to go on.
    assert.equal(put.status, 416);
    assert.equal(put.headers.get('range'), '0-9');
    await broken;
  });

  test('the limit of a blob is 413, declared or not, and nothing stays', async () => {
    await using hub = await startRegistry({ blobLimitBytes: 100_000 });
    const bytes = randomBytes(100_001);
    const declared = await send(hub, 'POST', `/v2/a/b/blobs/uploads/?digest=${digestOf(bytes)}`, {
      body: bytes,
    });
    assert.equal(declared.status, 413);
    const location = await begin(hub);
    const chunked = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.byteLength; at += 10_000)
          controller.enqueue(bytes.subarray(at, at + 10_000));
        controller.close();
      },
    });
    const streamed = await send(hub, 'PATCH', location, { body: chunked, duplex: 'half' });
    assert.equal(streamed.status, 413);
    assert.equal((await send(hub, 'DELETE', location)).status, 204);
    assert.deepEqual(await readdir(join(hub.root, 'uploads')), []);
  });

  test('files without a session are gone after the next start', async () => {
    await using first = await startRegistry();
    const location = await begin(first);
    await send(first, 'PATCH', location, { body: randomBytes(100) });
    const id = location.slice(location.lastIndexOf('/') + 1);
    await first.registry.metadata.deleteUpload(id);
    assert.deepEqual(await readdir(join(first.root, 'uploads')), [id]);
    await first.stop();
    await using second = await startRegistry({ root: first.root });
    assert.equal((await send(second, 'GET', location)).status, 404);
    assert.deepEqual(await readdir(join(second.root, 'uploads')), []);
  });

  test('sixteen pushes of the same bytes at once leave one file', async () => {
    await using hub = await startRegistry();
    const bytes = randomBytes(200_000);
    const pushes = Array.from({ length: 16 }, (_, i) => pushBlob(hub, bytes, `same/r${i % 4}`));
    const [digest] = await Promise.all(pushes);
    const shards = await readdir(join(hub.root, 'blobs'));
    const files = await Promise.all(shards.map((shard) => readdir(join(hub.root, 'blobs', shard))));
    assert.equal(files.flat().length, 1);
    for (let i = 0; i < 4; i++)
      assert.equal((await send(hub, 'HEAD', `/v2/same/r${i}/blobs/${digest}`)).status, 200);
  });

  test('pushing again repairs a blob whose file is lost', async () => {
    await using hub = await startRegistry();
    const bytes = randomBytes(100_000);
    const digest = await pushBlob(hub, bytes);
    await rm(join(hub.root, 'blobs'), { recursive: true });
    assert.equal((await send(hub, 'GET', `/v2/a/b/blobs/${digest}`)).status, 500);
    await using again = await startRegistry({ root: hub.root });
    await pushBlob(again, bytes, 'c/d');
    const got = await send(again, 'GET', `/v2/a/b/blobs/${digest}`);
    assert.ok(Buffer.from(await got.arrayBuffer()).equals(bytes));
  });
});

describe('the collector', () => {
  const grace = { unreferencedMs: 50, deletedMs: 50, fileMs: 50 };

  test('takes files of deleted images and leaves shared ones', async () => {
    await using hub = await startRegistry({ grace });
    const [config, shared, own] = [randomBytes(100), randomBytes(50_000), randomBytes(60_000)];
    for (const blob of [config, shared, own]) await pushBlob(hub, blob);
    assert.equal((await putManifest(hub, 'one', manifestFor(config, [shared, own]))).status, 201);
    assert.equal((await putManifest(hub, 'two', manifestFor(config, [shared]))).status, 201);
    const deleted = await send(
      hub,
      'DELETE',
      `/v2/a/b/manifests/${digestOf(Buffer.from(manifestFor(config, [shared, own])))}`,
    );
    assert.equal(deleted.status, 202);
    for (let pass = 1; pass <= 4; pass++) await hub.registry.collect(new Date(Date.now() + pass * 1000));
    assert.equal((await send(hub, 'HEAD', `/v2/a/b/blobs/${digestOf(own)}`)).status, 404);
    assert.equal((await send(hub, 'HEAD', `/v2/a/b/blobs/${digestOf(shared)}`)).status, 200);
    const shards = await readdir(join(hub.root, 'blobs'));
    const files = await Promise.all(shards.map((shard) => readdir(join(hub.root, 'blobs', shard))));
    assert.equal(files.flat().length, 1);
  });

  test('beside pushes and deletes of overlapping images, no image that was acknowledged is broken', async () => {
    await using hub = await startRegistry({ grace: { unreferencedMs: 400, deletedMs: 100, fileMs: 1 } });
    const layers = Array.from({ length: 6 }, () => randomBytes(40_000));
    const kept = new Map<string, string>();
    let isDone = false;
    const collector = (async () => {
      while (!isDone) {
        await hub.registry.collect();
        await sleep(2);
      }
    })();
    const pusher = async (name: number) => {
      for (let round = 0; round < 25; round++) {
        const config = randomBytes(64);
        const chosen = layers.filter((_, i) => (round + i * name) % 3 !== 0);
        const body = manifestFor(config, chosen);
        // The grace is shorter than a pause of this machine may be: a refused manifest is pushed again, as clients do.
        let status = 404;
        for (let attempt = 0; status === 404 && attempt < 20; attempt++) {
          for (const blob of [config, ...chosen]) {
            const head = await send(hub, 'HEAD', `/v2/a/b/blobs/${digestOf(blob)}`);
            if (head.status === 404) await pushBlob(hub, blob);
          }
          status = (await putManifest(hub, `p${name}-${round}`, body)).status;
        }
        assert.equal(status, 201);
        const digest = digestOf(Buffer.from(body));
        if (round % 2 === 0) kept.set(digest, body);
        else assert.equal((await send(hub, 'DELETE', `/v2/a/b/manifests/${digest}`)).status, 202);
      }
    };
    try {
      await Promise.all([1, 2, 3, 4].map(pusher));
    } finally {
      isDone = true;
      await collector;
    }
    for (const [digest, body] of kept) {
      assert.equal((await send(hub, 'GET', `/v2/a/b/manifests/${digest}`)).status, 200);
      const { layers: wanted } = JSON.parse(body) as { layers: { digest: string }[] };
      for (const layer of wanted) {
        const got = await send(hub, 'GET', `/v2/a/b/blobs/${layer.digest}`);
        assert.equal(got.status, 200);
        assert.equal(digestOf(new Uint8Array(await got.arrayBuffer())), layer.digest);
      }
    }
  });

  test('drops sessions that nobody used', async () => {
    await using hub = await startRegistry({ collector: { uploadIdleMs: 1000 } });
    const location = await begin(hub);
    await send(hub, 'PATCH', location, { body: 'some' });
    await hub.registry.collect();
    assert.equal(await offsetOf(hub, location), '0-3');
    await hub.registry.collect(new Date(Date.now() + 5000));
    await hub.registry.collect(new Date(Date.now() + 5000));
    assert.equal((await send(hub, 'GET', location)).status, 404);
    assert.deepEqual(await readdir(join(hub.root, 'uploads')), []);
  });
});

test('events say what was pushed, pulled and deleted, by whom, and a listener that throws harms nobody', async () => {
  await using hub = await startRegistry();
  const events: RegistryEvent[] = [];
  hub.registry.subscribe(() => {
    throw new Error('broken listener');
  });
  const stop = hub.registry.subscribe((event) => events.push(event));
  const [config, layer] = [randomBytes(10), randomBytes(90)];
  for (const blob of [config, layer]) await pushBlob(hub, blob);
  const body = manifestFor(config, [layer]);
  assert.equal((await putManifest(hub, 'v1', body)).status, 201);
  await (await send(hub, 'GET', '/v2/a/b/manifests/v1')).text();
  await send(hub, 'DELETE', '/v2/a/b/manifests/v1');
  stop();
  await (await send(hub, 'GET', `/v2/a/b/manifests/${digestOf(Buffer.from(body))}`)).text();
  const digest = digestOf(Buffer.from(body));
  const common = { repository: 'a/b', subject: '' };
  assert.deepEqual(
    events.map(({ at: _, ...event }) => event),
    [
      {
        ...common,
        kind: 'push',
        tags: ['v1'],
        digest,
        mediaType: MANIFEST_TYPE,
        manifestSizeBytes: Buffer.byteLength(body),
        contentSizeBytes: 100,
      },
      { ...common, kind: 'pull', reference: 'v1', digest },
      { ...common, kind: 'delete', tag: 'v1' },
    ],
  );
});

test('a pull that is abandoned leaves no file open', async () => {
  await using hub = await startRegistry();
  const digest = await pushBlob(hub, randomBytes(8_000_000));
  for (let i = 0; i < 10; i++) {
    const abort = new AbortController();
    const got = await send(hub, 'GET', `/v2/a/b/blobs/${digest}`, { signal: abort.signal });
    assert.equal(got.status, 200);
    abort.abort();
  }
  const countBlobs = async () => {
    const isBlob = (fd: string) =>
      stat(`/proc/self/fd/${fd}`).then(
        (one) => one.isFile() && one.size === 8_000_000,
        () => false,
      );
    return (await Promise.all((await readdir('/proc/self/fd')).map(isBlob))).filter(Boolean).length;
  };
  for (let i = 0; i < 200 && (await countBlobs()) > 0; i++) await sleep(50);
  assert.equal(await countBlobs(), 0);
});
