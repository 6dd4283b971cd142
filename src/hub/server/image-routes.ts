import { CodedError } from '#base/errors/index.ts';
import {
  type AttachedDocuments,
  type Catalog,
  type Dockerfiles,
  type DocumentReader,
  digestIn,
  type ImageCatalog,
  type ImageFamilies,
  type StoredImage,
} from '#hub/catalog/index.ts';
import type { ImageFiles, LayeredImage } from '#hub/layers/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { findRepository } from './access.ts';
import { type Exchange, originOf, sendJson } from './exchange.ts';

/** What the image routes work on. */
export interface ImageServices {
  readonly catalog: Pick<Catalog, 'findSettings'>;
  readonly images: Pick<ImageCatalog, 'describe'>;
  readonly reader: DocumentReader;
  readonly files: ImageFiles;
  readonly attached: AttachedDocuments;
  readonly dockerfiles: Dockerfiles;
  readonly families: ImageFamilies;
  /** The address people use, when it is not the one that is served. */
  readonly publicUrl?: string | undefined;
}

const TEXT_LIMIT = 4096;

/**
 * Handlers of `/api/image`, `/api/tree`, `/api/file`, `/api/waste`, `/api/dockerfile`, `/api/attached`, `/api/document` and
 * `/api/family`: whoever may pull from the repository may see them.
 */
export class ImageRoutes {
  readonly #services: ImageServices;

  constructor(services: ImageServices) {
    this.#services = services;
  }

  async describe(exchange: Exchange): Promise<void> {
    const repository = await this.#find(exchange);
    const reference = exchange.query.get('reference') ?? 'latest';
    sendJson(exchange.response, 200, await this.#services.images.describe(repository, reference));
  }

  async tree(exchange: Exchange): Promise<void> {
    const image = await this.#layers(exchange);
    const { files } = this.#services;
    const layer = layerIn(exchange);
    const text = textIn(exchange, 'q');
    const answer =
      text === '' ? files.list(image, layer, textIn(exchange, 'path')) : files.find(image, layer, text);
    sendJson(exchange.response, 200, await answer);
  }

  async file(exchange: Exchange): Promise<void> {
    const image = await this.#layers(exchange);
    const path = textIn(exchange, 'path');
    sendJson(exchange.response, 200, await this.#services.files.preview(image, layerIn(exchange), path));
  }

  async waste(exchange: Exchange): Promise<void> {
    sendJson(exchange.response, 200, await this.#services.files.waste(await this.#layers(exchange)));
  }

  async attached(exchange: Exchange): Promise<void> {
    const repository = await this.#find(exchange);
    const index = digestIn(exchange.query.get('index'));
    const list = await this.#services.attached.list(repository, imageIn(exchange), index);
    sendJson(exchange.response, 200, list);
  }

  async document(exchange: Exchange): Promise<void> {
    const repository = await this.#find(exchange);
    const digest = digestIn(exchange.query.get('digest'));
    if (digest === undefined) throw new CodedError('invalid_argument', 'name a digest');
    const document = await this.#services.attached.read(repository, digest);
    if (document === undefined) throw new CodedError('not_found', `${repository} has no ${digest}`);
    sendJson(exchange.response, 200, document);
  }

  async dockerfile(exchange: Exchange): Promise<void> {
    const repository = await this.#find(exchange);
    const image = await this.#image(exchange, repository);
    const index = digestIn(exchange.query.get('index'));
    const [attached, family] = await Promise.all([
      this.#services.attached.list(repository, image.digest, index),
      this.#services.families.find(repository, image.digest, exchange.account),
    ]);
    const nearest = family.uses.find((each) => each.tags.length > 0) ?? family.uses[0];
    const host = new URL(this.#services.publicUrl ?? originOf(exchange.request)).host;
    const base = nearest && { image: nearest, host };
    sendJson(
      exchange.response,
      200,
      await this.#services.dockerfiles.describe(repository, image, attached, base),
    );
  }

  async family(exchange: Exchange): Promise<void> {
    const repository = await this.#find(exchange);
    const digest = imageIn(exchange);
    sendJson(
      exchange.response,
      200,
      await this.#services.families.find(repository, digest, exchange.account),
    );
  }

  async #find(exchange: Exchange): Promise<string> {
    return (await findRepository(this.#services.catalog, exchange, 'pull')).name;
  }

  #image(exchange: Exchange, repository: string): Promise<StoredImage> {
    return this.#services.reader.getImage(repository, imageIn(exchange));
  }

  async #layers(exchange: Exchange): Promise<LayeredImage> {
    const repository = await this.#find(exchange);
    const { manifest, config } = await this.#image(exchange, repository);
    if (config === undefined)
      throw new CodedError('invalid_argument', 'this is an artifact: nobody says that it holds layers');
    return { repository, layers: manifest.layers.map((layer) => layer.digest) };
  }
}

function imageIn(exchange: Exchange): Digest {
  const digest = digestIn(exchange.query.get('image'));
  if (digest === undefined) throw new CodedError('invalid_argument', 'name the digest of an image');
  return digest;
}

/** The place of a layer, or `null` for all of them over one another. */
function layerIn(exchange: Exchange): number | null {
  const text = exchange.query.get('layer') ?? '';
  if (text === '') return null;
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new CodedError('invalid_argument', `"${text.slice(0, 20)}" is not the place of a layer`);
}

function textIn(exchange: Exchange, name: string): string {
  const text = exchange.query.get(name) ?? '';
  if (text.length > TEXT_LIMIT)
    throw new CodedError('invalid_argument', `${name} is longer than ${TEXT_LIMIT} characters`);
  return text;
}
