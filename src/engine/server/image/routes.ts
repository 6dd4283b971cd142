import { CodedError } from '#base/errors/index.ts';
import { decodeRegistryAuth } from '#registry/auth/index.ts';
import type { RequestContext, Route } from '../core/index.ts';
import { importImage, loadImages, saveImages } from './archive.ts';
import type { ImageBackend } from './backend.ts';
import { inspectImage, showHistory } from './inspect.ts';
import { listImages } from './list.ts';
import { pruneImages, removeImage } from './remove.ts';
import { pullImage, pushImage, tagImage } from './transfer.ts';

/** `/images`: list, inspect, history, pull, import, push, tag, remove, prune, save, load, search. */
export function createImageRoutes(backend: ImageBackend): Route[] {
  type Handler = (backend: ImageBackend, context: RequestContext) => Promise<void> | void;
  const route = (method: Route['method'], path: string, summary: string, handler: Handler): Route => ({
    method,
    path,
    summary,
    handler: (context) => handler(backend, context),
  });
  return [
    route('GET', '/images/json', 'List images', listImages),
    route('GET', '/images/search', 'Search a registry', search),
    route('GET', '/images/get', 'Save several images as a tar', (_, context) =>
      saveImages(
        backend,
        context,
        context.query
          .all('names')
          .flatMap((names) => names.split(','))
          .filter(Boolean),
      ),
    ),
    route('GET', '/images/:name+/json', 'Inspect an image', inspectImage),
    route('GET', '/images/:name+/history', 'History of an image', showHistory),
    route('GET', '/images/:name+/get', 'Save an image as a tar', (_, context) =>
      saveImages(backend, context, [context.params['name'] ?? '']),
    ),
    route('POST', '/images/create', 'Pull an image, or import a root file system', create),
    route('POST', '/images/load', 'Load images from a tar', loadImages),
    { ...route('POST', '/images/prune', 'Remove unused images', pruneImages), since: '1.25' },
    route('POST', '/images/:name+/push', 'Push an image', pushImage),
    route('POST', '/images/:name+/tag', 'Give an image another name', tagImage),
    route('DELETE', '/images/:name+', 'Remove an image', removeImage),
  ];
}

async function create(backend: ImageBackend, context: RequestContext): Promise<void> {
  if (context.query.get('fromImage')) return pullImage(backend, context);
  if (context.query.get('fromSrc')) return importImage(backend, context);
  throw new CodedError('invalid_argument', 'nothing to create: fromImage or fromSrc is required');
}

const SEARCH_FILTERS = ['is-automated', 'is-official', 'stars'];
const SEARCH_LIMIT = 100;

async function search(backend: ImageBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const filters = query.filters();
  filters.checkKnown(SEARCH_FILTERS);
  const limit = query.integer('limit') ?? 25;
  if (limit < 1 || limit > SEARCH_LIMIT)
    throw new CodedError('invalid_argument', `Limit ${limit} is outside the range of [1, ${SEARCH_LIMIT}]`);
  const term = query.get('term') ?? '';
  if (term === '') throw new CodedError('invalid_argument', 'search term is missing');
  const stars = Math.max(0, ...filters.get('stars').map(Number));
  if (Number.isNaN(stars))
    throw new CodedError('invalid_argument', `invalid filter 'stars=[${filters.get('stars').join(' ')}]'`);
  const official = filters.flag('is-official');
  const automated = filters.flag('is-automated');
  const hits = await backend.search(term, {
    limit,
    credentials: decodeRegistryAuth(context.header('x-registry-auth')),
    signal: context.signal,
  });
  const passing = hits.filter(
    (hit) =>
      hit.stars >= stars &&
      (official === undefined || hit.official === official) &&
      (automated === undefined || hit.automated === automated),
  );
  context.sendJson(
    200,
    passing.slice(0, limit).map((hit) => ({
      name: hit.name,
      description: hit.description,
      star_count: hit.stars,
      is_official: hit.official,
      is_automated: hit.automated,
    })),
  );
}
