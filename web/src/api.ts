/** Calls of the hub's JSON API, and the queries built on them. */
import { QueryClient, queryOptions } from '@tanstack/react-query';
import type {
  AccessToken,
  ApiError,
  GuideState,
  LayerFiles,
  PendingDevice,
  ReferenceDetail,
  RepositoryDetail,
  RepositorySummary,
  SessionInfo,
  TagSummary,
} from '#hub/protocol/index.ts';

/** An answer that is an error, with what the hub says about it. */
export class ApiFailure extends Error {
  readonly status: number;
  readonly field: string | undefined;
  readonly reason: string | undefined;
  readonly fix: readonly string[];

  constructor(status: number, body: ApiError['error']) {
    super(body.message);
    this.status = status;
    this.field = body.field;
    this.reason = body.cause;
    this.fix = body.fix ?? [];
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
  throw new ApiFailure(response.status, error);
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
}) {
  const query = new URLSearchParams();
  if (filter.namespace) query.set('namespace', filter.namespace);
  if (filter.text) query.set('q', filter.text);
  return queryOptions({
    queryKey: ['repositories', filter.namespace ?? '', filter.text ?? ''],
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

/** Tags of a repository, the newest 1,000; `text` finds others by part of their name. */
export function tagsQuery(name: string, text = '') {
  return queryOptions({
    queryKey: ['tags', name, text],
    queryFn: () => call<readonly TagSummary[]>('GET', `/api/tags/${name}?q=${encodeURIComponent(text)}`),
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

/** Files of a layer. */
export function filesQuery(name: string, digest: string) {
  return queryOptions({
    queryKey: ['files', digest],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => call<LayerFiles>('GET', `/api/files/${name}?digest=${encodeURIComponent(digest)}`),
  });
}
