/**
 * Image references: `[registry/]repository[:tag][@digest]`, in Docker's familiar form (`debian:12`) and in the
 * canonical form (`docker.io/library/debian:12`). A hand-written linear parser: length is checked first.
 *
 * Spec: distribution reference grammar; distribution-spec v1.1, "Pulling manifests" (name and tag grammar).
 */
import { CodedError } from '#base/errors/index.ts';
import { type Digest, isDigest } from '#oci/digest/index.ts';

/** The registry a reference without a host means. */
export const DEFAULT_REGISTRY = 'docker.io';
const LEGACY_REGISTRY = 'index.docker.io';
const OFFICIAL_NAMESPACE = 'library';
const DEFAULT_TAG = 'latest';
const NAME_LIMIT = 255;

/** A parsed name. `registry` and `repository` are canonical (`docker.io`, `library/debian`). */
export interface Reference {
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/**
 * Reads a reference as a person types it. No tag is added: see `withDefaultTag`.
 * @throws {CodedError} `invalid_argument` with Docker's text.
 */
export function parseReference(text: string): Reference {
  if (text === '') throw invalid('repository name must have at least one component');
  if (text.length > NAME_LIMIT + 128 + 140)
    throw invalid(`repository name must not be more than ${NAME_LIMIT} characters`);
  if (/^[a-f0-9]{64}$/.test(text)) {
    throw new CodedError(
      'invalid_argument',
      `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`,
    );
  }
  const at = text.indexOf('@');
  const digestText = at < 0 ? undefined : text.slice(at + 1);
  const beforeDigest = at < 0 ? text : text.slice(0, at);
  if (digestText !== undefined && !isDigest(digestText))
    throw invalid(undefined, `${quoted(digestText)} is no digest, such as sha256: and 64 hexadecimal digits`);
  const slash = beforeDigest.lastIndexOf('/');
  const colon = beforeDigest.indexOf(':', slash + 1);
  const tag = colon < 0 ? undefined : beforeDigest.slice(colon + 1);
  if (digestText === undefined && tag !== undefined && !TAG.test(tag))
    checkCapitals(beforeDigest.slice(0, colon));
  if (tag !== undefined && !TAG.test(tag))
    throw invalid(
      undefined,
      `${quoted(tag)} is no tag: up to 128 letters, digits, dots, dashes and underscores`,
    );
  const { registry, path } = splitRegistry(colon < 0 ? beforeDigest : beforeDigest.slice(0, colon));
  const repository =
    registry === DEFAULT_REGISTRY && !path.includes('/') ? `${OFFICIAL_NAMESPACE}/${path}` : path;
  checkRepository(registry, repository);
  return {
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digestText === undefined ? {} : { digest: digestText as Digest }),
  };
}

/** Adds `:latest` when the reference has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined
    ? { ...reference, tag: DEFAULT_TAG }
    : reference;
}

/** `docker.io/library/debian:12`: the key under which the store keeps a reference. */
export function formatCanonical(reference: Reference): string {
  return `${reference.registry}/${reference.repository}${suffixOf(reference)}`;
}

/** `debian:12`: what people are shown. */
export function formatFamiliar(reference: Reference): string {
  return familiarName(reference) + suffixOf(reference);
}

/** The familiar name without tag and digest. */
export function familiarName(reference: Pick<Reference, 'registry' | 'repository'>): string {
  if (reference.registry !== DEFAULT_REGISTRY) return `${reference.registry}/${reference.repository}`;
  const official = `${OFFICIAL_NAMESPACE}/`;
  const rest = reference.repository.slice(official.length);
  return reference.repository.startsWith(official) && !rest.includes('/') ? rest : reference.repository;
}

/** Whether `text` can be a tag. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** Whether `text` can be a repository path on a registry, such as `library/debian`. */
export function isRepository(text: string): boolean {
  return text.length <= NAME_LIMIT && text.split('/').every((component) => COMPONENT.test(component));
}

function suffixOf(reference: Reference): string {
  return (reference.tag ? `:${reference.tag}` : '') + (reference.digest ? `@${reference.digest}` : '');
}

/** Docker tells of capital letters before it looks at the tag. */
function checkCapitals(name: string): void {
  const { registry, path } = splitRegistry(name);
  const repository =
    registry === DEFAULT_REGISTRY && !path.includes('/') ? `${OFFICIAL_NAMESPACE}/${path}` : path;
  if (repository !== repository.toLowerCase()) checkRepository(registry, repository);
}

function splitRegistry(name: string): { registry: string; path: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  if (!isHost) return { registry: DEFAULT_REGISTRY, path: name };
  if (!HOST.test(first)) throw invalid(undefined, `${quoted(first)} is no name of a registry`);
  return { registry: first === LEGACY_REGISTRY ? DEFAULT_REGISTRY : first, path: name.slice(slash + 1) };
}

function checkRepository(registry: string, repository: string): void {
  if (repository.length > NAME_LIMIT)
    throw invalid(`repository name must not be more than ${NAME_LIMIT} characters`);
  if (isRepository(repository)) return;
  if (repository !== repository.toLowerCase() && isRepository(repository.toLowerCase())) {
    const shown = familiarName({ registry, repository });
    const name = registry === DEFAULT_REGISTRY ? repository : `${registry}/${repository}`;
    throw new CodedError(
      'invalid_argument',
      `invalid reference format: repository name (${name}) must be lowercase`,
      {
        help: {
          id: 'ref/uppercase',
          cause: 'repository names have no capital letters',
          fix: [`did you mean ${shown.toLowerCase()}?`],
        },
      },
    );
  }
  throw invalid(
    undefined,
    `${quoted(repository)} is no name of a repository: lower-case letters and digits, with single dots, dashes or underscores between them, and slashes between parts`,
  );
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

function invalid(detail?: string, cause?: string): CodedError {
  return new CodedError(
    'invalid_argument',
    detail ? `invalid reference format: ${detail}` : 'invalid reference format',
    {
      help: {
        id: 'ref/invalid',
        ...(cause === undefined ? {} : { cause }),
        fix: ['write it as NAME:TAG or REGISTRY/NAME:TAG'],
      },
    },
  );
}
