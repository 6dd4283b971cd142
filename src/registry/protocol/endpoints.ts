/**
 * The endpoints of the distribution specification that we serve (identifiers are the specification's; † is its draft).
 *
 *     id       method      path                                             answers
 *     end-1    GET HEAD    /v2/                                             200 · 401
 *     end-2    GET HEAD    /v2/<name>/blobs/<digest>                        200 206 304 · 404 416
 *     end-3    GET HEAD    /v2/<name>/manifests/<reference>                 200 304 · 404
 *     end-4a   POST        /v2/<name>/blobs/uploads/                        202
 *     end-4b   POST        /v2/<name>/blobs/uploads/?digest=                201 · 400
 *     end-4c†  POST        /v2/<name>/blobs/uploads/?digest-algorithm=      202 · 400
 *     end-5    PATCH       /v2/<name>/blobs/uploads/<id>                    202 · 404 416
 *     end-6    PUT         /v2/<name>/blobs/uploads/<id>?digest=            201 · 400 404 416
 *     end-7a   PUT         /v2/<name>/manifests/<reference>                 201 · 400 404 413
 *     end-7b†  PUT         /v2/<name>/manifests/<digest>?tag=&tag=          201 (+ OCI-Tag)
 *     end-8a/b GET         /v2/<name>/tags/list?n=&last=                    200 · 404
 *     end-9    DELETE      /v2/<name>/manifests/<reference>                 202 · 404
 *     end-10   DELETE      /v2/<name>/blobs/<digest>                        202 · 404
 *     end-11   POST        /v2/<name>/blobs/uploads/?mount=&from=           201 · 202
 *     end-12   GET         /v2/<name>/referrers/<digest>?artifactType=      200 · 400
 *     end-13   GET         /v2/<name>/blobs/uploads/<id>                    204 · 404
 *     end-14†  DELETE      /v2/<name>/blobs/uploads/<id>                    204 · 404
 *     catalog  GET         /v2/_catalog?n=&last=                            200          (Docker's)
 *
 * Not served: `?ns=` (a proxy's), schema 1 manifests.
 */

/** What a path means; `name`, `reference` and `id` are as sent (decoded, not checked). */
export type Endpoint =
  | { readonly kind: 'version' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'blob'; readonly name: string; readonly reference: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'referrers'; readonly name: string; readonly reference: string }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'uploads'; readonly name: string }
  | { readonly kind: 'upload'; readonly name: string; readonly id: string };

/** Methods of each kind of path, for `Allow` and 405. */
export const METHODS: Readonly<Record<Endpoint['kind'], readonly string[]>> = {
  version: ['GET', 'HEAD'],
  catalog: ['GET', 'HEAD'],
  blob: ['GET', 'HEAD', 'DELETE'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  referrers: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  uploads: ['POST'],
  upload: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
};

const PREFIX = '/v2/';

/**
 * Finds what a path means, or `undefined`. Names hold slashes and may hold words such as `tags`, so the path is read
 * from its end; one pass, no pattern.
 */
export function matchEndpoint(path: string): Endpoint | undefined {
  if (!path.startsWith(PREFIX)) return path === '/v2' ? { kind: 'version' } : undefined;
  if (path.length === PREFIX.length) return { kind: 'version' };
  const rest = path.slice(PREFIX.length);
  if (rest === '_catalog') return { kind: 'catalog' };
  const lastSlash = rest.lastIndexOf('/');
  if (lastSlash <= 0) return undefined;
  const last = rest.slice(lastSlash + 1);
  const middleSlash = rest.lastIndexOf('/', lastSlash - 1);
  const word = rest.slice(middleSlash + 1, lastSlash);
  const name = decode(rest.slice(0, Math.max(middleSlash, 0)));
  if (word === 'uploads' && name.endsWith('/blobs')) {
    const repository = name.slice(0, -'/blobs'.length);
    return last === ''
      ? { kind: 'uploads', name: repository }
      : { kind: 'upload', name: repository, id: decode(last) };
  }
  switch (word) {
    case 'manifests':
      return { kind: 'manifest', name, reference: decode(last) };
    case 'blobs':
      return last === 'uploads' ? { kind: 'uploads', name } : { kind: 'blob', name, reference: decode(last) };
    case 'referrers':
      return { kind: 'referrers', name, reference: decode(last) };
    case 'tags':
      return last === 'list' ? { kind: 'tags', name } : undefined;
    default:
      return undefined;
  }
}

/** Undoes percent-encoding; text that is not validly encoded stays as it is and then fails the grammar. */
function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
