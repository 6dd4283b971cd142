import type { IncomingMessage, ServerResponse } from 'node:http';
import { CodedError } from '#base/errors/index.ts';
import type { AccountRow, Accounts } from '#hub/account/index.ts';
import { type Catalog, OFFICIAL_NAMESPACE } from '#hub/catalog/index.ts';
import type { AccessToken } from '#hub/protocol/index.ts';
import type { Authenticator } from '#registry/server/index.ts';
import { addressOf, sendError, sendJson } from './exchange.ts';
import type { HttpHandler } from './http-server.ts';

/** What the search works on. */
export interface SearchServices {
  readonly authenticator: Pick<Authenticator, 'authenticate'>;
  readonly accounts: Pick<Accounts, 'findByName' | 'findUsableToken'>;
  readonly catalog: Pick<Catalog, 'list'>;
  readonly onError: (error: unknown) => void;
}

interface Viewer {
  readonly account: AccountRow;
  readonly token: AccessToken | undefined;
}

const DEFAULT_COUNT = 25;
const MOST = 100;

/**
 * `GET /v1/search?q=&n=&page=`, which `docker search HOST/term` and `podman search HOST/term` ask. It finds what the caller may
 * see: public repositories without a sign-in, their own with Basic or a token. Nothing else of the old protocol is there.
 */
export function createSearch(services: SearchServices): HttpHandler {
  return async (request, response) => {
    try {
      await answer(services, request, response);
    } catch (error) {
      if (!(error instanceof CodedError) || error.code === 'internal') services.onError(error);
      sendError(response, error);
    }
  };
}

async function answer(
  services: SearchServices,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://hub.invalid');
  if (pathname !== '/v1/search' || request.method !== 'GET')
    throw new CodedError('not_found', `there is no ${request.method} ${pathname}`);
  const viewer = await signIn(services, request);
  const text = searchParams.get('q') ?? '';
  const count = Math.min(MOST, numberOf(searchParams.get('n')) ?? DEFAULT_COUNT);
  const page = numberOf(searchParams.get('page')) ?? 1;
  const all = await services.catalog.list({ text, viewer: viewer?.account });
  const found = all.filter(({ namespace, name, visibility }) => {
    const only = viewer?.token?.repositories ?? [];
    return visibility === 'public' || only.length === 0 || only.includes(`${namespace}/${name}`);
  });
  sendJson(response, 200, {
    query: text,
    page,
    page_size: count,
    num_pages: Math.ceil(found.length / count),
    num_results: found.length,
    results: found.slice((page - 1) * count, page * count).map(({ namespace, name, description, stars }) => ({
      name: namespace === OFFICIAL_NAMESPACE ? name : `${namespace}/${name}`,
      description,
      star_count: stars,
      is_official: namespace === OFFICIAL_NAMESPACE,
      is_automated: false,
    })),
  });
}

/** @throws {CodedError} `unauthenticated` for a sign-in that is wrong, or a token that was revoked. */
async function signIn(services: SearchServices, request: IncomingMessage): Promise<Viewer | undefined> {
  const { authorization } = request.headers;
  const { subject } = await services.authenticator.authenticate({
    authorization,
    address: addressOf(request),
  });
  if (subject.name === '') return undefined;
  const { accounts } = services;
  const [account, token] = await Promise.all([
    accounts.findByName(subject.name),
    subject.credential === undefined ? undefined : accounts.findUsableToken(subject.credential),
  ]);
  if (account === undefined || (subject.credential !== undefined && token === undefined))
    throw new CodedError('unauthenticated', 'the sign-in is not valid any more');
  return { account, token };
}

function numberOf(text: string | null): number | undefined {
  return text !== null && /^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined;
}
