/** A client that does nothing by itself: each check sends exactly one request and looks at the whole answer. */
import { createHash, randomBytes } from 'node:crypto';
import { request as send } from 'undici';

/** A whole answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** What a request carries. */
export interface Ask {
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | undefined;
}

/** Algorithms of the suite. */
export const ALGORITHMS = ['sha256', 'sha512'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** Sends one request; nothing is followed or retried. */
export class RawClient {
  readonly base: string;

  constructor(base: string) {
    this.base = base;
  }

  async send(method: string, path: string, { headers = {}, body }: Ask = {}): Promise<Answer> {
    const url = new URL(path, this.base);
    const response = await send(url, { method: method as 'GET', headers, body: body ?? null });
    return {
      status: response.statusCode,
      headers: response.headers,
      body: Buffer.from(await response.body.arrayBuffer()),
    };
  }

  /** Pushes a blob in one POST. */
  async pushBlob(repository: string, blob: TestBlob): Promise<Answer> {
    return this.send('POST', `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`, {
      headers: OCTETS,
      body: blob.bytes,
    });
  }

  /** Begins a session and returns where it is. */
  async begin(repository: string, query = ''): Promise<string> {
    const answer = await this.send('POST', `/v2/${repository}/blobs/uploads/${query}`);
    if (answer.status !== 202) throw new Error(`POST answered ${answer.status}: ${answer.body.toString()}`);
    return locationOf(answer);
  }

  pushManifest(repository: string, reference: string, manifest: TestManifest, query = ''): Promise<Answer> {
    return this.send('PUT', `/v2/${repository}/manifests/${reference}${query}`, {
      headers: { 'content-type': manifest.mediaType },
      body: manifest.bytes,
    });
  }
}

/** Content-Type of blobs. */
export const OCTETS = { 'content-type': 'application/octet-stream' };

/** Bytes with their digest. */
export interface TestBlob {
  readonly digest: string;
  readonly bytes: Buffer;
}

/** A manifest, what it needs, and what a descriptor says about it. */
export interface TestManifest extends TestBlob {
  readonly mediaType: string;
  readonly blobs: readonly TestBlob[];
  readonly children: readonly TestManifest[];
  readonly value: Record<string, unknown>;
}

export function blobOf(bytes: Buffer, algorithm: Algorithm = 'sha256'): TestBlob {
  return { bytes, digest: `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` };
}

export function randomBlob(sizeBytes: number, algorithm: Algorithm = 'sha256'): TestBlob {
  return blobOf(randomBytes(sizeBytes), algorithm);
}

/** The value of a header that may be there once. */
export function headerOf(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** The `Location` of an answer. */
export function locationOf(answer: Answer): string {
  return headerOf(answer, 'location') ?? '';
}

/** The code of an error body. */
export function codeOf(answer: Answer): string {
  const body = JSON.parse(answer.body.toString()) as { errors: { code: string }[] };
  return body.errors[0]?.code ?? '';
}

/** Adds the digest to an upload's location. */
export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;
}

export const TYPES = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
  example1: 'application/vnd.example.oci.conformance.v1',
  example2: 'application/vnd.example.oci.conformance.v2',
};

/** A descriptor of something made here. */
export function descriptorOf(
  blob: TestBlob,
  mediaType: string,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { mediaType, digest: blob.digest, size: blob.bytes.byteLength, ...more };
}

/** What `makeImage` can vary. */
export interface ImageOptions {
  readonly algorithm?: Algorithm;
  readonly layers?: number;
  readonly fields?: Record<string, unknown>;
  /** Descriptors carry the bytes in `data`. */
  readonly withData?: boolean;
  readonly configType?: string;
  readonly config?: Buffer;
  readonly layerType?: string;
}

/** A random image or artifact. */
export function makeImage(options: ImageOptions = {}): TestManifest {
  const { algorithm = 'sha256', fields = {}, configType = TYPES.config, layerType = TYPES.layer } = options;
  const layers = Array.from({ length: options.layers ?? 2 }, () => randomBlob(700, algorithm));
  const document = {
    architecture: 'amd64',
    os: 'linux',
    author: randomBytes(6).toString('hex'),
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.digest) },
  };
  const config = blobOf(options.config ?? Buffer.from(JSON.stringify(document)), algorithm);
  const data = (blob: TestBlob) => (options.withData ? { data: blob.bytes.toString('base64') } : {});
  const value = {
    schemaVersion: 2,
    mediaType: TYPES.manifest,
    config: descriptorOf(config, configType, data(config)),
    layers: layers.map((layer) => descriptorOf(layer, layerType, data(layer))),
    ...fields,
  };
  return encode(value, TYPES.manifest, algorithm, [config, ...layers], []);
}

/** An index over other manifests. */
export function makeIndex(
  children: readonly TestManifest[],
  fields: Record<string, unknown> = {},
  algorithm: Algorithm = 'sha256',
): TestManifest {
  const value = {
    schemaVersion: 2,
    mediaType: TYPES.index,
    manifests: children.map((child) =>
      descriptorOf(child, child.mediaType, { platform: { os: 'linux', architecture: 'amd64' } }),
    ),
    ...fields,
  };
  return encode(value, TYPES.index, algorithm, [], children);
}

function encode(
  value: Record<string, unknown>,
  mediaType: string,
  algorithm: Algorithm,
  blobs: readonly TestBlob[],
  children: readonly TestManifest[],
): TestManifest {
  return { ...blobOf(Buffer.from(JSON.stringify(value)), algorithm), mediaType, blobs, children, value };
}

/** Every manifest in the order in which it must be pushed. */
export function pushOrder(manifest: TestManifest): readonly TestManifest[] {
  return [...manifest.children.flatMap(pushOrder), manifest];
}

/** Every blob of a manifest and its children. */
export function allBlobs(manifest: TestManifest): readonly TestBlob[] {
  return [...manifest.blobs, ...manifest.children.flatMap(allBlobs)];
}
