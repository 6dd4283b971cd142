/**
 * Digests of the OCI image specification: `sha256:<64 hex>` and `sha512:<128 hex>`.
 * Spec: image-spec v1.1, descriptor.md, "Digests".
 */
import { createHash, type Hash } from 'node:crypto';
import { CodedError } from '#base/errors/index.ts';

declare const digestBrand: unique symbol;
declare const diffIdBrand: unique symbol;
declare const chainIdBrand: unique symbol;

/** Hash of bytes as stored or sent, for example `sha256:9f86…`. */
export type Digest = string & { readonly [digestBrand]: true };
/** Digest of one uncompressed layer tar. */
export type DiffId = Digest & { readonly [diffIdBrand]: true };
/** Digest that names a stack of layers applied in order. */
export type ChainId = Digest & { readonly [chainIdBrand]: true };

/** The algorithms we accept. */
export type DigestAlgorithm = 'sha256' | 'sha512';

const HEX_LENGTH: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 };

/** Whether `text` is a digest of a known algorithm with the right number of lower-case hex digits. */
export function isDigest(text: string): text is Digest {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, colon);
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return false;
  return text.length === colon + 1 + HEX_LENGTH[algorithm] && isLowerHex(text, colon + 1);
}

/**
 * Checks a digest from outside.
 * @throws {CodedError} `invalid_argument` for an unknown algorithm or a wrong length.
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new CodedError('invalid_argument', `cannot parse digest "${text.slice(0, 160)}"`, {
    subject: { kind: 'digest', name: text.slice(0, 160) },
  });
}

/** As `parseDigest`, for a place where the specification says the value is a diffID. */
export function parseDiffId(text: string): DiffId {
  return parseDigest(text) as DiffId;
}

/** The algorithm of a digest. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hex part of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** The first 12 hex digits, as Docker prints ids. */
export function shortIdOf(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

/** Digest of bytes in memory; for small documents only. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}

/** Makes the digest of a finished hash. */
export function digestFromHash(hash: Hash, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}

/**
 * Names the tree that results from applying `diffIds` in order, base layer first.
 * Two stacks share a chain ID exactly when they hold the same layers in the same order,
 * so it is the name under which a snapshot is committed. One layer: its own diffID.
 *
 * Spec: image-spec v1.1, config.md, "Layer ChainID".
 * @throws {CodedError} `invalid_argument` if `diffIds` is empty.
 */
export function chainIdOf(diffIds: readonly DiffId[]): ChainId {
  const [first, ...rest] = diffIds;
  if (first === undefined) throw new CodedError('invalid_argument', 'cannot name an empty stack of layers');
  return rest.reduce((chain, diffId) => extendChain(chain, diffId), first as Digest as ChainId);
}

/** The chain ID of `diffId` applied on top of `parent` (`undefined`: on nothing). */
export function extendChain(parent: ChainId | undefined, diffId: DiffId): ChainId {
  if (parent === undefined) return diffId as Digest as ChainId;
  return digestOf(`${parent} ${diffId}`) as ChainId;
}

function isLowerHex(text: string, from: number): boolean {
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (!((code >= 48 && code <= 57) || (code >= 97 && code <= 102))) return false;
  }
  return true;
}
