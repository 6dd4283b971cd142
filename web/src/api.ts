/** Calls of the hub's JSON API, and the queries built on them. */
import { infiniteQueryOptions, QueryClient, queryOptions } from '@tanstack/react-query';
import type {
  AccessToken,
  ApiError,
  GuideState,
  PendingDevice,
  ReferenceDetail,
  RepositoryDetail,
  RepositorySummary,
  RetentionState,
  SessionInfo,
  TagOrder,
  TagPage,
} from '#hub/protocol/index.ts';

/** An answer that is an error, with what the hub says about it. */
export class ApiFailure extends Error {
  readonly status: number;
  readonly field: string | undefined;
  readonly reason: string | undefined;
  readonly fix: readonly string[];
  readonly code: string;
  /** When to ask again, in milliseconds since 1970, where the hub says so. */
  readonly retryAt: number | undefined;

  constructor(status: number, body: ApiError['error'], retryAfterSeconds = Number.NaN) {
    super(body.message);
    this.status = status;
    this.field = body.field;
    this.reason = body.cause;
    this.fix = body.fix ?? [];
    this.code = body.code;
    this.retryAt = Number.isFinite(retryAfterSeconds) ? Date.now() + retryAfterSeconds * 1000 : undefined;
  }
}

/** Sends a request; a body is sent as JSON. @throws {ApiFailure} */
export async function call<T>(method: string, path: string, body?: object): Promise<T> {
  const init: RequestInit = { method, headers: { accept: 'application/json' } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { accept: 'application/json', 'content-type': 'application/json' };
  }
  const response = await fetch(path, init).catch(() => undefined);
  if (response === undefined)
    throw new ApiFailure(0, { code: 'unreachable', message: 'The hub does not answer. Is it running?' });
  const value: unknown = await response.json().catch(() => undefined);
  if (response.ok) return value as T;
  const error = (value as ApiError | undefined)?.error ?? {
    code: 'internal',
    message: `The hub answered ${response.status}.`,
  };
  throw new ApiFailure(response.status, error, Number(response.headers.get('retry-after') ?? 'none'));
}

/** The page's cache of answers. */
export const queryClient = new QueryClient({
  defaultOptions: {
    // The hub may be on this machine: that the browser thinks it is offline means nothing.
    mutations: { networkMode: 'always' },
    queries: {
      networkMode: 'always',
      staleTime: 10_000,
      retry: (count, error) =>
        count < 2 && !(error instanceof ApiFailure && error.status >= 400 && error.status < 500),
    },
  },
});

export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: () => call<SessionInfo>('GET', '/api/session'),
});
/** Somebody else looks now: nothing that was shown before stays, and every view learns who it is. */
export async function changeViewer(client: QueryClient): Promise<void> {
  client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'session' });
  await client.fetchQuery({ ...sessionQuery, staleTime: 0 });
}

export const guideQuery = queryOptions({
  queryKey: ['guide'],
  queryFn: () => call<GuideState>('GET', '/api/guide'),
});
export const tokensQuery = queryOptions({
  queryKey: ['tokens'],
  queryFn: () => call<readonly AccessToken[]>('GET', '/api/tokens'),
});

/** What waits under the code of a command line. */
export function deviceQuery(code: string) {
  return queryOptions({
    queryKey: ['device', code],
    queryFn: () => call<PendingDevice>('GET', `/api/device?code=${encodeURIComponent(code)}`),
    // It is gone once it was decided: what was shown stays.
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
}

/** Repositories, of one namespace or of all. */
export function repositoriesQuery(filter: {
  readonly namespace?: string | undefined;
  readonly text?: string | undefined;
  readonly category?: string | undefined;
}) {
  const query = new URLSearchParams();
  if (filter.namespace) query.set('namespace', filter.namespace);
  if (filter.text) query.set('q', filter.text);
  if (filter.category) query.set('category', filter.category);
  return queryOptions({
    queryKey: ['repositories', filter.namespace ?? '', filter.text ?? '', filter.category ?? ''],
    queryFn: () => call<readonly RepositorySummary[]>('GET', `/api/repositories?${query}`),
  });
}

/** One repository by its full name. */
export function repositoryQuery(name: string) {
  return queryOptions({
    queryKey: ['repository', name],
    queryFn: () => call<RepositoryDetail>('GET', `/api/repositories/${name}`),
  });
}

/** Tags of a repository, page by page; `text` is a part of their names. */
export function tagsQuery(
  name: string,
  { text, order }: { readonly text: string; readonly order: TagOrder },
) {
  return infiniteQueryOptions({
    queryKey: ['tags', name, order, text],
    initialPageParam: '',
    queryFn: ({ pageParam }) => {
      const query = new URLSearchParams({ sort: order });
      if (text !== '') query.set('q', text);
      if (pageParam !== '') query.set('cursor', pageParam);
      return call<TagPage>('GET', `/api/tags/${name}?${query}`);
    },
    getNextPageParam: (page) => page.next,
  });
}

/** The tags that were pushed last. */
export function latestTagsQuery(name: string) {
  return queryOptions({
    queryKey: ['tags', name, 'latest'],
    queryFn: () => call<TagPage>('GET', `/api/tags/${name}?limit=5`),
  });
}

/** Which tags of a repository go by themselves. */
export function retentionQuery(name: string) {
  return queryOptions({
    queryKey: ['retention', name],
    queryFn: () => call<RetentionState>('GET', `/api/retention/${name}`),
  });
}

/** One tag or digest. */
export function imageQuery(name: string, reference: string) {
  return queryOptions({
    queryKey: ['image', name, reference],
    queryFn: () =>
      call<ReferenceDetail>('GET', `/api/image/${name}?reference=${encodeURIComponent(reference)}`),
  });
}
