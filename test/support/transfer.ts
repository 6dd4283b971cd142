/** Pulls and pushes between a store of its own and a registry double. */
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { encodeTarHeader, paddingOf, TAR_END } from '#base/tar/index.ts';
import { encodeDocument, MEDIA } from '#oci/manifest/index.ts';
import { parseReference } from '#oci/reference/index.ts';
import { createRegistryClient } from '#registry/client/index.ts';
import { createImageTransfer } from '#registry/transfer/index.ts';
import type { ImageTransfer, TransferProgress } from '#registry/transfer/types.ts';
import { createChangesets } from '#store/changeset/index.ts';
import type { Store } from '#store/root/index.ts';
import { anonymous, type RegistryDouble, sha256Of, startRegistryDouble } from './registry-double.ts';
import { withStore } from './store.ts';

/** A store, a registry double, and transfers between them. */
export interface Bench {
  readonly store: Store;
  readonly transfer: ImageTransfer;
  readonly double: RegistryDouble;
  readonly lines: TransferProgress[];
  /** Pulls from the double and records the progress. */
  pull(
    name: string,
    more?: Parameters<ImageTransfer['pullImage']>[1] | object,
  ): ReturnType<ImageTransfer['pullImage']>;
}

/** Runs `body` with a bench; the store is checked and removed afterwards. */
export async function withBench(body: (bench: Bench) => Promise<void>): Promise<void> {
  const changesets = createChangesets();
  await using double = await startRegistryDouble();
  const client = createRegistryClient({ retry: { baseDelayMs: 1, attempts: 4 } });
  try {
    await withStore(
      async (store) => {
        const transfer = createImageTransfer({
          ...store,
          client,
          changesets,
          platform: { os: 'linux', architecture: 'amd64' },
        });
        const lines: TransferProgress[] = [];
        const pull: Bench['pull'] = (name, more = {}) =>
          transfer.pullImage(parseReference(`${double.host}/${name}`), {
            credentials: anonymous,
            onProgress: (line) => lines.push(line),
            ...more,
          });
        await body({ store, transfer, double, lines, pull });
      },
      { changesets },
    );
  } finally {
    await client.close();
    await changesets.close();
  }
}

/** A layer of small files. */
export function layerOf(files: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(files).flatMap(([path, text]) => {
    const body = Buffer.from(text);
    return [
      encodeTarHeader({ path, type: 'file', mode: 0o644, sizeBytes: body.length }),
      body,
      Buffer.alloc(paddingOf(body.length)),
    ];
  });
  return Buffer.concat([...parts, TAR_END]);
}

/** What `addImage` put into the double. */
export interface Made {
  readonly manifest: Buffer;
  readonly digest: string;
  readonly config: string;
  readonly blobs: readonly string[];
}

/** Puts an image into the double and tags it. */
export function addImage(
  double: RegistryDouble,
  name: string,
  tars: readonly Buffer[],
  how: { readonly architecture?: string; readonly tag?: string } = {},
): Made {
  const keep = (bytes: Buffer): string => {
    double.blobs.set(sha256Of(bytes), bytes);
    return sha256Of(bytes);
  };
  const config = Buffer.from(
    JSON.stringify({
      architecture: how.architecture ?? 'amd64',
      os: 'linux',
      config: { Env: ['A=b'] },
      rootfs: { type: 'layers', diff_ids: tars.map(sha256Of) },
    }),
  );
  const compressed = tars.map((tar) => gzipSync(tar));
  const manifest = Buffer.from(
    encodeDocument({
      schemaVersion: 2,
      mediaType: MEDIA.dockerManifest,
      config: { mediaType: MEDIA.dockerConfig, digest: keep(config), size: config.byteLength },
      layers: compressed.map((bytes) => ({
        mediaType: MEDIA.dockerLayerGzip,
        digest: keep(bytes),
        size: bytes.byteLength,
      })),
    }),
  );
  const entry = { bytes: manifest, type: MEDIA.dockerManifest };
  double.manifests.set(`${name} ${how.tag ?? 'v1'}`, entry);
  double.manifests.set(`${name} ${sha256Of(manifest)}`, entry);
  return { manifest, digest: sha256Of(manifest), config: sha256Of(config), blobs: compressed.map(sha256Of) };
}

/** Two layers with one file each. */
export const two = (): Buffer[] => [layerOf({ 'etc-a': 'a'.repeat(5000) }), layerOf({ 'etc-b': 'b' })];

/** How often the bytes of a blob were asked for. */
export function blobRequests(double: RegistryDouble, digest: string): number {
  return double.seen.filter(({ method, url }) => method === 'GET' && url.endsWith(digest)).length;
}

/** No image is to be seen and nothing half done is left. */
export function nothingVisible(store: Store): void {
  assert.deepEqual([...store.images.listImages()], []);
  assert.deepEqual(store.snapshots.listActive(), []);
}
