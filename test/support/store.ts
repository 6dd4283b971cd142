/** A store on a temporary root, and images made without a build. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { type ChainId, type DiffId, digestOf, extendChain } from '#oci/digest/index.ts';
import { parseReference } from '#oci/reference/index.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { Image } from '#store/image/types.ts';
import { openStore, type Store } from '#store/root/index.ts';

/** Why tests that mount are skipped, or `false`. */
export const NEEDS_ROOT = process.getuid?.() === 0 ? false : 'mounting needs root';

/** For tests that never touch a layer's bytes. */
export function createNoChangesets(): Changesets {
  const refuse = (): never => {
    throw new CodedError('unimplemented', 'this test has no changesets');
  };
  return {
    unpackLayer: refuse,
    describeChangeset: refuse,
    packChangeset: refuse,
    streamChangeset: refuse,
    close: async () => undefined,
  };
}

/** Runs `body` with a fresh store, without changesets unless they are given or asked for; afterwards nothing of it is mounted or left on the disk. */
export async function withStore(
  body: (store: Store, dir: string) => Promise<void>,
  options: {
    readonly changesets?: Changesets | 'real';
    readonly graceMs?: number;
    readonly driver?: 'overlay' | 'copy';
  } = {},
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-store-'));
  const { graceMs = 0, changesets = createNoChangesets(), driver } = options;
  const store = await openStore({
    root: join(dir, 'root'),
    graceMs,
    ...(changesets === 'real' ? {} : { changesets }),
    ...(driver === undefined ? {} : { driver }),
  });
  try {
    await body(store, dir);
  } finally {
    await store.close();
    assert.equal(readFileSync('/proc/self/mounts', 'utf8').includes(dir), false, 'nothing stays mounted');
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Adds an image of one-file layers: each text is the content of a file `file-<n>`. Equal stacks share snapshots. */
export async function addTestImage(
  store: Store,
  options: {
    readonly layers: readonly string[];
    readonly tags?: readonly string[];
    readonly digests?: readonly string[];
    readonly parent?: Image;
    readonly env?: string;
  },
): Promise<Image> {
  let parent: ChainId | undefined;
  const diffIds: DiffId[] = [];
  for (const [position, text] of options.layers.entries()) {
    const diffId = digestOf(`layer ${text}`) as DiffId;
    diffIds.push(diffId);
    const chainId = extendChain(parent, diffId);
    if (store.snapshots.find(chainId) === undefined) {
      const key = `test-${chainId}`;
      const active = await store.snapshots.prepare(key, parent);
      writeFileSync(join(active.upperDir, `file-${position}`), text);
      await store.snapshots.commit(key, chainId, { sizeBytes: text.length, durable: false });
    }
    const index = await store.content.putBlob(Buffer.from(`index of ${text}`));
    const layer = { diffId, tarSizeBytes: 1024, contentSizeBytes: text.length, indexDigest: index.digest };
    store.images.addLayer(layer, { chainId });
    parent = chainId;
  }
  const config = {
    created: '2026-01-02T03:04:05Z',
    architecture: 'amd64',
    os: 'linux',
    config: { Env: [options.env ?? 'PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: diffIds },
  };
  return store.images.addImage({
    configBytes: Buffer.from(JSON.stringify(config)),
    tags: (options.tags ?? []).map(parseReference),
    repoDigests: (options.digests ?? []).map(parseReference),
    ...(options.parent === undefined ? {} : { parentId: options.parent.id }),
  });
}
