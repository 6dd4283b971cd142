/** Pushes made-up images to a hub over HTTP, for tests that look at what the hub then shows. */
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { type Digest, digestOf } from '#oci/digest/index.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** Bytes as a manifest names them. */
export interface PushedDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

/** An image to be made up; each layer is the tar of one. */
export interface ImageParts {
  readonly layers: readonly Buffer[];
  readonly history?: readonly object[];
  readonly config?: object;
  readonly architecture?: string;
  readonly author?: string;
}

/** Somebody who pushes. */
export class HubPusher {
  readonly #url: string;
  readonly #basic: string;

  constructor(url: string, username: string, secret: string) {
    this.#url = url;
    this.#basic = `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`;
  }

  /** Pushes an image with one manifest; without a tag it is only there by its digest. */
  async pushImage(repository: string, tag: string | undefined, parts: ImageParts): Promise<PushedDescriptor> {
    const layers = [];
    for (const layer of parts.layers)
      layers.push(await this.pushBlob(repository, gzipSync(layer, { level: 1 }), LAYER));
    const config = {
      created: '2026-01-02T03:04:05Z',
      architecture: parts.architecture ?? 'amd64',
      os: 'linux',
      ...(parts.author === undefined ? {} : { author: parts.author }),
      config: parts.config ?? {},
      rootfs: { type: 'layers', diff_ids: parts.layers.map((layer) => digestOf(layer)) },
      ...(parts.history === undefined ? {} : { history: parts.history }),
    };
    const bytes = Buffer.from(JSON.stringify(config));
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: await this.pushBlob(repository, bytes, CONFIG),
      layers,
    };
    return this.pushManifest(repository, tag, manifest);
  }

  /** Pushes an index over manifests that are there already. */
  pushIndex(repository: string, tag: string, manifests: readonly object[]): Promise<PushedDescriptor> {
    return this.pushManifest(repository, tag, { schemaVersion: 2, mediaType: INDEX, manifests });
  }

  async pushBlob(repository: string, bytes: Buffer, mediaType: string): Promise<PushedDescriptor> {
    const digest = digestOf(bytes);
    const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
    await this.#send('POST', repository, path, bytes, 'application/octet-stream');
    return { mediaType, digest, size: bytes.length };
  }

  async pushManifest(
    repository: string,
    tag: string | undefined,
    manifest: { readonly mediaType: string; readonly [field: string]: unknown },
  ): Promise<PushedDescriptor> {
    const bytes = Buffer.from(JSON.stringify(manifest));
    const digest = digestOf(bytes);
    const path = `/v2/${repository}/manifests/${tag ?? digest}`;
    await this.#send('PUT', repository, path, bytes, manifest.mediaType);
    return { mediaType: manifest.mediaType, digest, size: bytes.length };
  }

  /** Pulls a manifest, as a client would. */
  async pullManifest(repository: string, reference: string): Promise<number> {
    const headers = { authorization: await this.#bearer(repository), accept: `${MANIFEST}, ${INDEX}` };
    const response = await fetch(`${this.#url}/v2/${repository}/manifests/${reference}`, { headers });
    await response.arrayBuffer();
    return response.status;
  }

  async #send(method: string, repository: string, path: string, body: Buffer, type: string): Promise<void> {
    const headers = { authorization: await this.#bearer(repository), 'content-type': type };
    const response = await fetch(this.#url + path, { method, headers, body: new Uint8Array(body) });
    assert.equal(response.status, 201, `${method} ${path}: ${await response.text()}`);
  }

  readonly #tokens = new Map<string, string>();

  async #bearer(repository: string): Promise<string> {
    const known = this.#tokens.get(repository);
    if (known !== undefined) return known;
    const scope = encodeURIComponent(`repository:${repository}:pull,push`);
    const response = await fetch(`${this.#url}/token?service=slipway-hub&scope=${scope}`, {
      headers: { authorization: this.#basic },
    });
    const { token } = (await response.json()) as { readonly token: string };
    this.#tokens.set(repository, `Bearer ${token}`);
    return `Bearer ${token}`;
  }
}
