/** Image archives made by hand. */
import type { ByteStream } from '#base/bytes/types.ts';
import { type TarInput, writeTar } from '#base/tar/index.ts';
import { digestOf } from '#oci/digest/index.ts';
import type { LoadedImage } from '#store/archive/types.ts';
import type { Store } from '#store/root/index.ts';
import { withStore } from './store.ts';

/** Runs `body` with a fresh store that unpacks and packs for real. */
export function withArchives(body: (store: Store, dir: string) => Promise<void>): Promise<void> {
  return withStore(body, { changesets: 'real' });
}

/** A layer tar with one file. */
export async function makeLayer(name: string, content: string | Buffer): Promise<Buffer> {
  const body = Buffer.from(content);
  return gather(writeTar([{ header: { path: name, type: 'file', mode: 0o644 }, body }]));
}

/** All bytes of a stream. */
export async function gather(stream: ByteStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

/** An image config over these layers. */
export function makeConfig(layers: readonly Buffer[], extra: object = {}): Buffer {
  const rootfs = { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) };
  return Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs, ...extra }));
}

/** A file of an archive; an object becomes JSON. */
export function member(path: string, body: Buffer | string | object): TarInput {
  const bytes = Buffer.isBuffer(body)
    ? body
    : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return { header: { path, type: 'file', mode: 0o644 }, body: bytes };
}

/** A Docker archive of one image with these layers. */
export async function dockerArchive(
  layers: readonly Buffer[],
  tags: readonly string[] | null = ['app:v1'],
): Promise<TarInput[]> {
  const paths = layers.map((_, i) => `layer-${i}/layer.tar`);
  return [
    ...layers.map((layer, i) => member(paths[i] as string, layer)),
    member('config.json', makeConfig(layers)),
    member('manifest.json', [{ Config: 'config.json', RepoTags: tags, Layers: paths }]),
  ];
}

/** Loads an archive of these entries. */
export function load(store: Store, entries: Iterable<TarInput>): Promise<readonly LoadedImage[]> {
  return store.archives.loadImages(writeTar(entries));
}
