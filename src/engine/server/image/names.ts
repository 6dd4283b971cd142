import { CodedError, type ErrorHelp } from '#base/errors/index.ts';
import { isDigest, shortIdOf } from '#oci/digest/index.ts';
import { familiarName, formatFamiliar, isTag, parseReference, type Reference } from '#oci/reference/index.ts';
import type { Image } from '#store/image/types.ts';

/**
 * A name and a separate tag or digest, as the query of create, push and tag carries them.
 * @throws {CodedError} `invalid_argument` with Docker's texts.
 */
export function joinReference(name: string, tag: string | undefined): Reference {
  const parsed = parseReference(name.replace(/:$/, ''));
  if (tag === undefined || tag === '') return parsed;
  const { registry, repository } = parsed;
  if (isDigest(tag)) return { registry, repository, digest: tag };
  if (!isTag(tag)) throw new CodedError('invalid_argument', 'invalid tag format');
  return { registry, repository, tag };
}

/** Whether two references name the same repository. */
export function isSameRepository(a: Reference, b: Reference): boolean {
  return a.registry === b.registry && a.repository === b.repository;
}

/** Attributes of an image event: its name and its labels. */
export function eventAttributes(image: Image | undefined, name: string): Record<string, string> {
  return { ...(image?.config.config?.Labels ?? {}), name };
}

/**
 * Why a push finds nothing: no tag of the repository, or not this one. When another local image ends in the same
 * name, the fix is the one command that is missing.
 */
export function noLocalTag(reference: Reference, images: Iterable<Image>, now: Date): CodedError {
  const name = familiarName(reference);
  const all = [...images];
  const others = all.flatMap((image) => image.references.filter((tag) => isSameRepository(tag, reference)));
  const message =
    others.length > 0 && reference.tag !== undefined
      ? `tag does not exist: ${formatFamiliar(reference)}`
      : `An image does not exist locally with the tag: ${name}`;
  const wanted = formatFamiliar(reference);
  const similar = findSimilar(reference, all);
  const help: ErrorHelp = similar
    ? {
        id: 'push/no-local-tag',
        cause: `it is here as ${formatFamiliar(similar.tag)} (${ageOf(similar.image, now)}${shortIdOf(similar.image.id)})`,
        fix: [`docker tag ${formatFamiliar(similar.tag)} ${wanted} && docker push ${wanted}`],
      }
    : {
        id: 'push/no-local-tag',
        cause: `no local image has a name that ends in ${lastComponent(reference.repository)}`,
        fix: [`docker build -t ${wanted} . && docker push ${wanted}`],
      };
  return new CodedError('not_found', message, { subject: { kind: 'image', name: wanted }, help });
}

/** The local tag whose last name component is the same; the same tag first, then the newest. */
function findSimilar(
  reference: Reference,
  images: readonly Image[],
): { image: Image; tag: Reference } | undefined {
  const last = lastComponent(reference.repository);
  const candidates = images.flatMap((image) =>
    image.references
      .filter(
        (tag) => lastComponent(tag.repository) === last && formatFamiliar(tag) !== formatFamiliar(reference),
      )
      .map((tag) => ({ image, tag, sameTag: tag.tag === (reference.tag ?? 'latest') })),
  );
  candidates.sort(
    (a, b) =>
      Number(b.sameTag) - Number(a.sameTag) ||
      (b.image.taggedAt?.getTime() ?? 0) - (a.image.taggedAt?.getTime() ?? 0),
  );
  return candidates[0];
}

function lastComponent(repository: string): string {
  return repository.slice(repository.lastIndexOf('/') + 1);
}

function ageOf(image: Image, now: Date): string {
  const from = image.taggedAt ?? image.createdAt;
  if (from === undefined) return '';
  const minutes = Math.round((now.getTime() - from.getTime()) / 60_000);
  const amount = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? '' : 's'} ago, `;
  if (minutes < 1) return 'tagged just now, ';
  if (minutes < 90) return `tagged ${amount(minutes, 'minute')}`;
  if (minutes < 48 * 60) return `tagged ${amount(Math.round(minutes / 60), 'hour')}`;
  return `tagged ${amount(Math.round(minutes / 1440), 'day')}`;
}
