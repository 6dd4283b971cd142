/** Many clients, slow clients, and a full disk. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRegistry } from '../support/registry.ts';
import { blobOf, makeIndex, OCTETS, RawClient, randomBlob } from './registry-client.ts';

test('64 pushers of one tag: every read is one whole manifest that somebody pushed, and the last stays', async () => {
  await using registry = await startRegistry();
  const client = new RawClient(registry.url);
  const pushed = new Set<string>();
  const path = '/v2/load/test/manifests/v1';
  let isDone = false;
  const pusher = async (name: number) => {
    for (let i = 0; i < 10; i++) {
      const index = makeIndex([], { annotations: { name: `${name}-${i}` } });
      pushed.add(index.digest);
      assert.equal((await client.pushManifest('load/test', 'v1', index)).status, 201);
    }
  };
  let reads = 0;
  const reader = async () => {
    while (!isDone) {
      const got = await client.send('GET', path);
      if (got.status === 404 && reads === 0) continue;
      assert.equal(got.status, 200);
      assert.ok(pushed.has(blobOf(got.body).digest));
      assert.equal(got.headers['docker-content-digest'], blobOf(got.body).digest);
      reads++;
    }
  };
  const readers = [reader(), reader()];
  await Promise.all(Array.from({ length: 64 }, (_, i) => pusher(i)));
  isDone = true;
  await Promise.all(readers);
  assert.ok(reads > 10);
  const [first, second] = [await client.send('GET', path), await client.send('GET', path)];
  assert.deepEqual(first.body, second.body);
});

test('300 slow and 300 idle clients do not keep others waiting', async () => {
  await using registry = await startRegistry();
  const client = new RawClient(registry.url);
  assert.equal((await client.pushManifest('load/test', 'v1', makeIndex([]))).status, 201);
  const port = Number(new URL(registry.url).port);
  const sockets: Socket[] = [];
  try {
    for (let i = 0; i < 600; i++) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      if (i % 2 === 0) socket.write('GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ');
      sockets.push(socket);
    }
    const times: number[] = [];
    for (let i = 0; i < 300; i++) {
      for (const socket of sockets.slice(i % 300, (i % 300) + 20))
        if (!socket.destroyed && i % 2 === 0) socket.write('a');
      const started = performance.now();
      assert.equal((await client.send('GET', '/v2/load/test/manifests/v1')).status, 200);
      times.push(performance.now() - started);
    }
    times.sort((a, b) => a - b);
    assert.ok(
      (times[Math.floor(times.length * 0.95)] ?? 0) < 50,
      `p95 was ${times[Math.floor(times.length * 0.95)]} ms`,
    );
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

const skip = process.getuid?.() === 0 ? false : 'mounting a small disk needs root';

/** Runs `body` on a disk of 12 MiB. */
async function onSmallDisk(body: (root: string) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'slipway-full-'));
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', root]).status, 0);
  try {
    await body(root);
  } finally {
    // Lazily: whatever failed above is what should be reported.
    spawnSync('umount', ['-l', root]);
    rmSync(root, { recursive: true, force: true });
  }
}

/** Pushes blobs of one size until one is refused; returns the digests that were accepted and the status that was not. */
async function fill(
  client: RawClient,
  sizeBytes: number,
): Promise<{ readonly kept: string[]; readonly status: number }> {
  const kept: string[] = [];
  for (;;) {
    const blob = randomBlob(sizeBytes);
    const begun = await client.send('POST', '/v2/full/disk/blobs/uploads/');
    if (begun.status !== 202) return { kept, status: begun.status };
    const location = String(begun.headers['location']);
    const put = await client.send('PUT', `${location}?digest=${blob.digest}`, {
      headers: OCTETS,
      body: blob.bytes,
    });
    if (put.status !== 201) return { kept, status: put.status };
    kept.push(blob.digest);
  }
}

async function checkKept(client: RawClient, digests: readonly string[]): Promise<void> {
  for (const digest of digests) {
    const got = await client.send('GET', `/v2/full/disk/blobs/${digest}`);
    assert.equal(got.status, 200);
    assert.equal(blobOf(got.body).digest, digest);
  }
}

test('a disk without a byte left is 507 and keeps whole what was acknowledged', { skip }, () =>
  onSmallDisk(async (root) => {
    await using registry = await startRegistry({ root });
    const client = new RawClient(registry.url);
    const kept: string[] = [];
    // Large blobs fill the files' room, small ones the database's, and again.
    for (const size of [1_500_000, 40_000, 20_000, 1_500_000, 100]) {
      const filled = await fill(client, size);
      assert.equal(filled.status, 507);
      kept.push(...filled.kept);
    }
    assert.ok(kept.length > 7);
    await checkKept(client, kept);
  }),
);

test('uploads stop before the disk is full, so that deleting makes room again', { skip }, () =>
  onSmallDisk(async (root) => {
    const grace = { unreferencedMs: 60_000, deletedMs: 1, fileMs: 1 };
    await using registry = await startRegistry({ root, grace, minFreeBytes: 4_000_000 });
    const client = new RawClient(registry.url);
    const { kept, status } = await fill(client, 400_000);
    assert.equal(status, 507);
    const victims = kept.splice(0, 10);
    for (const digest of victims)
      assert.equal((await client.send('DELETE', `/v2/full/disk/blobs/${digest}`)).status, 202);
    for (let pass = 1; pass <= 3; pass++) await registry.registry.collect(new Date(Date.now() + pass * 1000));
    await sleep(600);
    assert.equal((await client.pushBlob('full/disk', randomBlob(400_000))).status, 201);
    await checkKept(client, kept);
    // The session that was refused is still there, without a byte.
    const sizes = readdirSync(join(root, 'uploads')).map((id) => statSync(join(root, 'uploads', id)).size);
    assert.deepEqual(sizes, [0]);
  }),
);
