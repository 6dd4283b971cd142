/**
 * kill -9 while several clients push blobs of many sizes, manifests and tags, at random moments and (where strace is
 * there) right before a random call that changes the disk: whatever was acknowledged is there after the next start, and
 * nothing that is served is torn. SLIPWAY_CRASH_ROUNDS makes it longer.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { killAt, NEEDS_STRACE } from '../support/kill-points.ts';
import {
  blobOf,
  makeImage,
  OCTETS,
  RawClient,
  randomBlob,
  type TestManifest,
  withDigest,
} from './registry-client.ts';

const ROUNDS = Number(process.env['SLIPWAY_CRASH_ROUNDS'] ?? 12);
const PUSHERS = 4;
/** A call that never comes must not hold the test up. */
const CALL_MS = 5000;
const REPOSITORY = 'crash/test';
const PROGRAM = resolve(import.meta.dirname, '../../src/main/hub.ts');

interface Acknowledged {
  readonly blobs: Set<string>;
  readonly manifests: Map<string, TestManifest>;
  /** Digests a tag may have: the last that was acknowledged, and those in flight when the process died. */
  readonly tags: Map<string, Set<string>>;
}

async function start(root: string): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const args = [
    '--disable-warning=ExperimentalWarning',
    PROGRAM,
    '--root',
    root,
    '--open',
    '--listen',
    '127.0.0.1:0',
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data')) as [Buffer];
  const url = /http:\/\/\S+/.exec(line.toString())?.[0];
  assert.ok(url !== undefined, line.toString());
  return { child, url };
}

/** Pushes until the server is gone; notes only what was answered 201. */
async function pushUntilKilled(url: string, pusher: number, known: Acknowledged): Promise<void> {
  const client = new RawClient(url);
  try {
    for (;;) {
      const size = [10, 4096, 40_000, 300_000, 2_000_000][randomInt(5)] ?? 10;
      const blob = randomBlob(size);
      const location = await client.begin(REPOSITORY);
      const half = size >> 1;
      const patched = await client.send('PATCH', location, {
        headers: OCTETS,
        body: blob.bytes.subarray(0, half),
      });
      assert.equal(patched.status, 202);
      const put = await client.send('PUT', withDigest(location, blob.digest), {
        headers: OCTETS,
        body: blob.bytes.subarray(half),
      });
      assert.equal(put.status, 201);
      known.blobs.add(blob.digest);

      const image = makeImage({ layers: 1 });
      for (const part of image.blobs) {
        assert.equal((await client.pushBlob(REPOSITORY, part)).status, 201);
        known.blobs.add(part.digest);
      }
      const tag = `tag-${pusher}`;
      const allowed = known.tags.get(tag) ?? new Set<string>();
      known.tags.set(tag, allowed.add(image.digest));
      assert.equal((await client.pushManifest(REPOSITORY, tag, image)).status, 201);
      known.manifests.set(image.digest, image);
      known.tags.set(tag, new Set([image.digest]));
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    // The connection broke: the server was killed.
  }
}

async function check(url: string, known: Acknowledged): Promise<void> {
  const client = new RawClient(url);
  for (const digest of known.blobs) {
    const got = await client.send('GET', `/v2/${REPOSITORY}/blobs/${digest}`);
    assert.equal(got.status, 200, `blob ${digest}`);
    assert.equal(blobOf(got.body).digest, digest);
  }
  for (const [digest, manifest] of known.manifests) {
    const got = await client.send('GET', `/v2/${REPOSITORY}/manifests/${digest}`);
    assert.equal(got.status, 200, `manifest ${digest}`);
    assert.deepEqual(got.body, manifest.bytes);
  }
  for (const [tag, allowed] of known.tags) {
    const got = await client.send('GET', `/v2/${REPOSITORY}/manifests/${tag}`);
    if (got.status === 404 && ![...allowed].some((digest) => known.manifests.has(digest))) continue;
    assert.equal(got.status, 200, `tag ${tag}`);
    assert.ok(allowed.has(blobOf(got.body).digest), `tag ${tag} names what was never pushed`);
  }
}

test(`${ROUNDS} kills while ${PUSHERS} clients push: nothing that was acknowledged is lost`, async () => {
  const root = mkdtempSync(join(tmpdir(), 'slipway-crash-'));
  const known: Acknowledged = { blobs: new Set(), manifests: new Map(), tags: new Map() };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const { child, url } = await start(root);
      const pushers = Array.from({ length: PUSHERS }, (_, i) => pushUntilKilled(url, i, known));
      const ended = once(child, 'exit');
      {
        const isAtCall = !NEEDS_STRACE && round % 2 === 1;
        await using _ = isAtCall ? await killAt(child.pid ?? 0, randomInt(1, 40)) : undefined;
        await (isAtCall ? Promise.race([ended, sleep(CALL_MS)]) : sleep(randomInt(20, 500)));
      }
      child.kill('SIGKILL');
      await ended;
      await Promise.all(pushers);
    }
    const { child, url } = await start(root);
    try {
      await check(url, known);
      assert.ok(known.blobs.size > ROUNDS, `only ${known.blobs.size} blobs were acknowledged`);
      // What the dead processes left unfinished has a session; everything else was cleaned up at the start.
      const files = readdirSync(join(root, 'uploads'));
      assert.ok(files.length <= ROUNDS * PUSHERS, `${files.length} leftovers`);
    } finally {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
