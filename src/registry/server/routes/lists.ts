/** end-8, end-12 and the catalog: sorted lists in pages. */
import { CodedError } from '#base/errors/index.ts';
import { MEDIA } from '#oci/manifest/index.ts';
import { HEADER, UNAUTHORIZED_MESSAGE } from '#registry/protocol/index.ts';
import { type Call, checkDigest, type Headers } from '../call.ts';
import type { RegistryMetadata } from '../types.ts';

/** What the list routes use. */
export interface ListRoutes {
  readonly metadata: RegistryMetadata;
}

/** Entries of a page when the client does not say, and at most. */
const PAGE_LIMIT = 1000;
/** Repositories looked at for one page of the catalog; a page may come out short, its Link goes on. */
const CATALOG_SCAN = 5000;
/** A tags page without `n`: as much as one answer may hold. */
const WHOLE_LIST = 10_000;

/** GET of a repository's tags. */
export async function listTags(call: Call, repository: string, { metadata }: ListRoutes): Promise<void> {
  await call.require(repository, 'pull');
  const limit = readLimit(call) ?? WHOLE_LIST;
  const last = call.query.get('last') ?? undefined;
  // One more than asked for tells whether there is a next page.
  const found = await metadata.listTags(repository, { last, limit: limit + 1 });
  if (found === undefined) {
    throw new CodedError('not_found', 'repository name not known to registry', {
      subject: { kind: 'repository', name: repository },
      data: { detail: { name: repository } },
    });
  }
  const tags = found.slice(0, limit);
  call.sendJson(
    { name: repository, tags },
    linkTo(call, limit, found.length > limit ? tags.at(-1) : undefined),
  );
}

/** GET of what refers to a digest; an unknown digest has no referrers, which is not an error. */
export async function listReferrers(
  call: Call,
  repository: string,
  reference: string,
  { metadata }: ListRoutes,
): Promise<void> {
  await call.require(repository, 'pull');
  const subject = checkDigest(reference);
  const limit = readLimit(call) ?? PAGE_LIMIT;
  const last = call.query.get('last') ?? undefined;
  const artifactType = call.query.get('artifactType') ?? undefined;
  const found = await metadata.listReferrers(repository, subject, { last, limit: limit + 1, artifactType });
  const manifests = found.slice(0, limit);
  call.sendJson(
    { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests },
    {
      'Content-Type': MEDIA.ociIndex,
      ...(artifactType === undefined ? {} : { [HEADER.filtersApplied]: 'artifactType' }),
      ...linkTo(call, limit, found.length > limit ? manifests.at(-1)?.digest : undefined),
    },
  );
}

/** GET of the repositories the caller may pull from. */
export async function listCatalog(call: Call, { metadata }: ListRoutes, isOpen: boolean): Promise<void> {
  if (!isOpen && call.request.headers.authorization === undefined) {
    throw new CodedError('unauthenticated', UNAUTHORIZED_MESSAGE, { data: { scope: 'registry:catalog:*' } });
  }
  const limit = readLimit(call) ?? PAGE_LIMIT;
  const repositories: string[] = [];
  let last = call.query.get('last') ?? undefined;
  let next: string | undefined;
  for (let seen = 0; limit > 0; ) {
    const batch = await metadata.listRepositories({ last, limit: Math.min(limit * 2 + 1, 500) });
    for (const name of batch) {
      if (repositories.length === limit) {
        next = last;
        break;
      }
      last = name;
      seen++;
      if (await call.mayList(name)) repositories.push(name);
    }
    if (batch.length === 0 || next !== undefined) break;
    if (seen >= CATALOG_SCAN) {
      next = last;
      break;
    }
  }
  call.sendJson({ repositories }, linkTo(call, limit, next));
}

/** `n`: how many entries; 0 is an empty page. @throws {CodedError} `invalid_argument` about a `page`. */
function readLimit(call: Call): number | undefined {
  const text = call.query.get('n');
  if (text === null) return undefined;
  if (/^[0-9]{1,9}$/.test(text)) return Math.min(Number(text), PAGE_LIMIT);
  throw new CodedError('invalid_argument', `"${text.slice(0, 40)}" is not a number of results`, {
    subject: { kind: 'page', name: text.slice(0, 40) },
    data: { detail: { n: text.slice(0, 40) } },
  });
}

/** A relative link to the next page; none when this is the last or empty. */
function linkTo(call: Call, limit: number, last: string | undefined): Headers {
  if (last === undefined || limit === 0) return {};
  const query = new URLSearchParams(call.query);
  query.set('last', last);
  query.set('n', String(limit));
  const path = call.request.url?.split('?')[0] ?? '';
  return { Link: `<${path}?${query.toString()}>; rel="next"` };
}
