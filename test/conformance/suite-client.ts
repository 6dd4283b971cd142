/**
 * A client that signs in as the specification's own suite does: by the challenge of each 401, with one token per repository
 * and kind of method. Every body travels chunked, without a length.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type Answer, headerOf } from './registry-client.ts';

/** What a request carries. */
export interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** Signs in as the suite's client does: only when told to, by whatever the challenge says. */
export class SuiteClient {
  readonly #base: string;
  readonly #login: string;
  readonly #tokens = new Map<string, string>();

  /** `login` is `name:password`, shown to the token service alone. */
  constructor(base: string, login: string) {
    this.#base = base;
    this.#login = login;
  }

  async send(method: string, path: string, sent: Sent = {}): Promise<Answer> {
    const url = new URL(path, this.#base);
    const repository = /^\/v2\/(.+?)\/(?:blobs|manifests|tags|referrers)\//.exec(url.pathname)?.[1] ?? '';
    const kind = ['GET', 'HEAD'].includes(method) ? 'pull' : method === 'DELETE' ? 'delete' : 'push';
    const key = `${repository}:${kind}`;
    const first = await exchange(method, url, sent, this.#tokens.get(key));
    if (first.status !== 401) return first;
    const token = await this.#answerChallenge(headerOf(first, 'www-authenticate') ?? '');
    this.#tokens.set(key, token);
    return exchange(method, url, sent, token);
  }

  async #answerChallenge(challenge: string): Promise<string> {
    assert.match(challenge, /^Bearer /);
    const parameters = Object.fromEntries(
      [...challenge.matchAll(/([a-zA-Z]+)="(.+?)"/g)].map(([, name, value]) => [name, value]),
    ) as { realm: string; service: string; scope?: string };
    const url = new URL(parameters.realm, this.#base);
    url.searchParams.set('service', parameters.service);
    // Several scopes of a challenge travel as one parameter, with spaces.
    if (parameters.scope !== undefined) url.searchParams.set('scope', parameters.scope);
    const basic = Buffer.from(this.#login).toString('base64');
    const response = await fetch(url, { headers: { authorization: `Basic ${basic}` } });
    assert.equal(response.status, 200);
    return ((await response.json()) as { access_token: string }).access_token;
  }
}

async function exchange(method: string, url: URL, { headers = {}, body }: Sent, token?: string) {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const sending = request(url, { method, headers: { ...headers, ...authorization } });
  // A write before the end makes Node send the body chunked.
  if (body !== undefined) sending.write(body);
  sending.end();
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) };
}
