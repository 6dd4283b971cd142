import type { IncomingMessage, ServerResponse } from 'node:http';
import { CodedError } from '#base/errors/index.ts';
import { type Digest, isDigest } from '#oci/digest/index.ts';
import { isTag } from '#oci/reference/index.ts';
import { API_VERSION, DENIED_MESSAGE, UNAUTHORIZED_MESSAGE } from '#registry/protocol/index.ts';
import type { Authorizer, Identity, RegistryEvent, Right } from './types.ts';

/** Header names and values as `writeHead` takes them. */
export type Headers = Record<string, string | number | readonly string[]>;

const NO_QUERY = new URLSearchParams();

/** A request on its way through the routes, and the only way to answer it. */
export class Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly identity: Identity;
  readonly emit: (event: RegistryEvent) => void;
  readonly #queryText: string;
  readonly #authorizer: Authorizer;
  #query: URLSearchParams | undefined;

  constructor(options: {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly identity: Identity;
    readonly query: string;
    readonly authorizer: Authorizer;
    readonly emit: (event: RegistryEvent) => void;
  }) {
    this.request = options.request;
    this.response = options.response;
    this.identity = options.identity;
    this.emit = options.emit;
    this.#queryText = options.query;
    this.#authorizer = options.authorizer;
  }

  get subject(): string {
    return this.identity.subject.name;
  }

  get query(): URLSearchParams {
    if (this.#queryText === '') return NO_QUERY;
    this.#query ??= new URLSearchParams(this.#queryText);
    return this.#query;
  }

  /** Whether the caller may do this: the credential covers it and the account has the right. */
  async may(repository: string, right: Right): Promise<boolean> {
    if (!this.identity.covers(repository, right)) return false;
    return (await this.#authorizer.rightsOf(this.identity.subject, repository)).has(right);
  }

  /** Those of `tags` that the caller may set but not move. */
  async findFixedTags(repository: string, tags: readonly string[]): Promise<readonly string[]> {
    if (!this.identity.covers(repository, 'overwrite')) return tags;
    const fixed: string[] = [];
    for (const tag of tags) {
      const rights = await this.#authorizer.rightsOf(this.identity.subject, repository, tag);
      if (!rights.has('overwrite')) fixed.push(tag);
    }
    return fixed;
  }

  /** Whether the caller may see that this repository exists. */
  async mayList(repository: string): Promise<boolean> {
    return (await this.#authorizer.rightsOf(this.identity.subject, repository)).has('pull');
  }

  /**
   * Refuses unless the caller may do this. `scope` in the error's data is what a token would need; `alsoUseful` is a scope
   * that is worth asking for at the same time.
   * @throws {CodedError} `unauthenticated` when a better credential could help, else `permission_denied`.
   */
  async require(repository: string, right: Right, alsoUseful?: string): Promise<void> {
    const covers = this.identity.covers(repository, right);
    const rights = await this.#authorizer.rightsOf(this.identity.subject, repository);
    if (covers && rights.has(right)) return;
    if (this.subject === '' || rights.has(right)) {
      const data = {
        scope: [scopeFor(repository, right), alsoUseful].filter((scope) => scope !== undefined).join(' '),
        isScope: this.request.headers.authorization !== undefined,
      };
      throw new CodedError('unauthenticated', UNAUTHORIZED_MESSAGE, { data });
    }
    throw denied(this.subject, repository, right);
  }

  send(status: number, headers: Headers, body?: Uint8Array | string): void {
    const response = this.response;
    if (body === undefined) {
      headers['Content-Length'] ??= 0;
      response.writeHead(status, withCommon(headers)).end();
      return;
    }
    headers['Content-Length'] = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
    response.writeHead(status, withCommon(headers));
    if (this.request.method === 'HEAD') response.end();
    else response.end(body);
  }

  sendJson(value: unknown, headers: Headers = {}): void {
    this.send(200, { 'Content-Type': 'application/json', ...headers }, JSON.stringify(value));
  }
}

/** Headers every answer has. */
export function withCommon(headers: Headers): Record<string, string | number | string[]> {
  headers['Docker-Distribution-API-Version'] = API_VERSION;
  headers['X-Content-Type-Options'] = 'nosniff';
  return headers as Record<string, string | number | string[]>;
}

/** The scope a client has to ask for, in the words of the token protocol. */
export function scopeFor(repository: string, right: Right): string {
  const actions = { pull: 'pull', push: 'pull,push', overwrite: 'pull,push', delete: 'delete' }[right];
  return `repository:${repository}:${actions}`;
}

/** @throws {CodedError} `invalid_argument` about a `digest`. */
export function checkDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new CodedError('invalid_argument', `"${text.slice(0, 160)}" is not a digest that is supported here`, {
    subject: { kind: 'digest', name: text.slice(0, 160) },
  });
}

/** @throws {CodedError} `invalid_argument` about a `tag`. */
export function checkTag(text: string): string {
  if (isTag(text)) return text;
  throw new CodedError('invalid_argument', `"${text.slice(0, 160)}" is not a tag`, {
    subject: { kind: 'tag', name: text.slice(0, 160) },
  });
}

function denied(subject: string, repository: string, right: Right): CodedError {
  const namespace = repository.split('/')[0] ?? repository;
  const name = repository.slice(repository.lastIndexOf('/') + 1);
  const isForeign = namespace !== subject;
  const help =
    right === 'pull'
      ? {
          id: 'pull/forbidden',
          cause: `${subject} has no right to pull ${repository}, or there is no such repository`,
          fix: [`ask the owner of ${namespace}/ for access`],
        }
      : isForeign
        ? {
            id: 'push/not-your-namespace',
            cause: `signed in as ${subject}, ${right === 'delete' ? 'deleting from' : 'pushing to'} ${namespace}/`,
            fix: [`docker tag IMAGE HOST/${subject}/${name} && docker push HOST/${subject}/${name}`],
          }
        : {
            id: 'push/read-only-token',
            cause: `the credential of ${subject} does not allow to ${right === 'delete' ? 'delete' : 'push'}`,
            fix: ['make a token with the right to write and sign in with it'],
          };
  return new CodedError('permission_denied', DENIED_MESSAGE, {
    subject: { kind: 'repository', name: repository },
    help,
  });
}
