import { SingleFlight } from '#base/async/index.ts';
import { decompress } from '#base/bytes/index.ts';
import { CodedError } from '#base/errors/index.ts';
import { readTar, type TarEntryType } from '#base/tar/index.ts';
import type { LayerFile, LayerFiles } from '#hub/protocol/index.ts';
import { type Digest, isDigest } from '#oci/digest/index.ts';
import type { BlobStorage, RegistryMetadata } from '#registry/server/index.ts';

const FILE_LIMIT = 20_000;
const CACHE_LAYERS = 64;
const LETTERS: Readonly<Record<TarEntryType, string>> = {
  file: 'f',
  directory: 'd',
  symlink: 'l',
  hardlink: 'h',
  char: 'c',
  block: 'b',
  fifo: 'p',
};
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/** Where layer bytes come from. */
export interface LayerSources {
  readonly metadata: Pick<RegistryMetadata, 'findBlob'>;
  readonly storage: Pick<BlobStorage, 'openBlob'>;
}

/** Lists the files of a layer for the tag page: the headers are read from the stream, the data is passed over. */
export class LayerFileReader {
  readonly #sources: LayerSources;
  readonly #known = new Map<Digest, LayerFiles>();
  readonly #reading = new SingleFlight<Digest, LayerFiles>();

  constructor(sources: LayerSources) {
    this.#sources = sources;
  }

  /** @throws {CodedError} `not_found`, `invalid_argument` when the blob is no layer. */
  async list(repository: string, digest: Digest): Promise<LayerFiles> {
    if (!isDigest(digest))
      throw new CodedError('invalid_argument', `cannot parse digest "${String(digest).slice(0, 80)}"`);
    const blob = await this.#sources.metadata.findBlob(repository, digest);
    if (blob === undefined) throw new CodedError('not_found', `${repository} has no layer ${digest}`);
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const { location, sizeBytes } = blob;
    const bytes =
      'content' in location
        ? once(location.content)
        : this.#sources.storage.openBlob(location.key, { start: 0, end: sizeBytes });
    const files = await this.#reading.run(digest, () => readFiles(digest, bytes));
    if (this.#known.size >= CACHE_LAYERS) this.#known.delete(this.#known.keys().next().value ?? digest);
    this.#known.set(digest, files);
    return files;
  }
}

async function* once(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content;
}

async function readFiles(digest: Digest, bytes: AsyncIterable<Uint8Array>): Promise<LayerFiles> {
  const files: LayerFile[] = [];
  let isTruncated = false;
  for await (const entry of readTar(decompress(bytes, 'auto'))) {
    if (files.length === FILE_LIMIT) {
      isTruncated = true;
      break;
    }
    files.push(fileOf(entry.path, entry.type, entry.sizeBytes, entry.mode, entry.linkTarget));
  }
  return { digest, files, isTruncated };
}

function fileOf(
  path: string,
  type: TarEntryType,
  sizeBytes: number,
  mode: number,
  linkTarget: string,
): LayerFile {
  const clean = path.replace(/^(?:\.?\/)+/, '').replace(/\/$/, '') || '.';
  const slash = clean.lastIndexOf('/') + 1;
  const name = clean.slice(slash);
  const shownMode = mode.toString(8).padStart(4, '0');
  if (name === OPAQUE) return [clean.slice(0, slash) || '.', 'o', 0, shownMode];
  if (name.startsWith(WHITEOUT))
    return [clean.slice(0, slash) + name.slice(WHITEOUT.length), 'w', 0, shownMode];
  return linkTarget === ''
    ? [clean, LETTERS[type], sizeBytes, shownMode]
    : [clean, LETTERS[type], sizeBytes, shownMode, linkTarget];
}
