import type { IncomingMessage, ServerResponse } from 'node:http';
import { CodedError, codeOf, messageOf } from '#base/errors/index.ts';
import type { Log } from '#base/log/index.ts';
import { isRepository } from '#oci/reference/index.ts';
import { type Endpoint, METHODS, matchEndpoint, registryErrorFor } from '#registry/protocol/index.ts';
import { cacheMetadata } from './cache.ts';
import { Call, withCommon } from './call.ts';
import { Collector, type CollectorOptions } from './collector.ts';
import { deleteBlob, pullBlob } from './routes/blobs.ts';
import { listCatalog, listReferrers, listTags } from './routes/lists.ts';
import { deleteManifest, pullManifest, putManifest } from './routes/manifests.ts';
import { appendUpload, beginUpload, cancelUpload, finishUpload, showUpload } from './routes/uploads.ts';
import type {
  Authenticator,
  Authorizer,
  BlobStorage,
  RegistryEvent,
  RegistryEvents,
  RegistryMetadata,
} from './types.ts';
import { UploadSessions } from './uploads.ts';

/** Parts and settings of a registry. */
export interface RegistryOptions {
  readonly metadata: RegistryMetadata;
  readonly storage: BlobStorage;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly log: Log;
  /** Largest blob; default 100 GiB. */
  readonly blobLimitBytes?: number;
  /** Accept images whose layers are not here; default false. Indexes may always name what is not here. */
  readonly allowMissingLayers?: boolean;
  /** Only what reads is answered, and nothing is collected: files and rows hold still. */
  readonly isReadOnly?: boolean;
  readonly collector?: Partial<CollectorOptions>;
}

/** A registry to be mounted under `/v2` of an HTTP server. */
export interface Registry extends RegistryEvents {
  /** Answers a request; never rejects. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** The rows as the registry sees them: writes that go around it would leave its cache stale. */
  readonly metadata: RegistryMetadata;
  /** Removes what a crash left; `listUploads` names the files of unfinished uploads. */
  recover(listUploads: () => Promise<readonly string[]>): Promise<void>;
  /** One pass of the collector now; returns the number of blobs removed. */
  collect(now?: Date): Promise<number>;
  /** Stops the collector and saves the sessions. Requests must have ended or be about to. */
  close(): Promise<void>;
}

const DEFAULT_BLOB_LIMIT_BYTES = 100 * 1024 ** 3;
/** An answer that leaves more than this of a body unread closes the connection. */
const DRAIN_LIMIT_BYTES = 1024 * 1024;

const READING: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Makes a registry from its parts. */
export function createRegistry(options: RegistryOptions): Registry {
  return new RegistryServer(options);
}

class RegistryServer implements Registry {
  readonly metadata: RegistryMetadata;
  readonly #options: RegistryOptions;
  readonly #sessions: UploadSessions;
  readonly #collector: Collector;
  readonly #listeners = new Set<(event: RegistryEvent) => void>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.metadata = cacheMetadata(options.metadata);
    this.#sessions = new UploadSessions({
      metadata: this.metadata,
      storage: options.storage,
      blobLimitBytes: options.blobLimitBytes ?? DEFAULT_BLOB_LIMIT_BYTES,
    });
    this.#collector = new Collector({
      metadata: this.metadata,
      storage: options.storage,
      sessions: this.#sessions,
      log: options.log,
      ...options.collector,
    });
    if (options.isReadOnly !== true) this.#collector.start();
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response);
    } catch (error) {
      this.#fail(request, response, error);
    }
  }

  subscribe(listener: (event: RegistryEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  recover(listUploads: () => Promise<readonly string[]>): Promise<void> {
    return this.#sessions.recover(listUploads);
  }

  collect(now: Date = new Date()): Promise<number> {
    return this.#collector.collect(now);
  }

  async close(): Promise<void> {
    await this.#collector.stop();
    const [failure, ...more] = await this.#sessions.close();
    if (failure === undefined) return;
    this.#options.log.warn('upload sessions were not saved', {
      count: more.length + 1,
      error: messageOf(failure),
    });
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '/';
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const endpoint = matchEndpoint(path);
    const identity = await this.#options.authenticator.authenticate({
      authorization: request.headers.authorization,
      address: request.socket.remoteAddress ?? '',
    });
    if (endpoint === undefined) {
      throw new CodedError('not_found', 'there is nothing here', {
        subject: { kind: 'path', name: path.slice(0, 300) },
      });
    }
    if (!METHODS[endpoint.kind].includes(request.method ?? '')) {
      response.setHeader('Allow', METHODS[endpoint.kind].join(', '));
      throw new CodedError('unimplemented', `${request.method ?? ''} is not possible here`);
    }
    if (this.#options.isReadOnly === true && !READING.has(request.method ?? '')) throw readOnly();
    const call = new Call({
      request,
      response,
      identity,
      query: mark < 0 ? '' : url.slice(mark + 1),
      authorizer: this.#options.authorizer,
      emit: (event) => this.#emit(event),
    });
    await this.#answer(call, endpoint);
  }

  async #answer(call: Call, endpoint: Endpoint): Promise<void> {
    const { open } = this.#options.authenticator;
    const { allowMissingLayers = false, storage } = this.#options;
    const routes = { metadata: this.metadata, storage, sessions: this.#sessions, allowMissingLayers };
    if (endpoint.kind === 'catalog') return listCatalog(call, routes, open);
    if (endpoint.kind === 'version') {
      if (!open && call.subject === '') throw new CodedError('unauthenticated', 'authentication required');
      return call.sendJson({});
    }
    const { name } = endpoint;
    if (!isRepository(name)) {
      throw new CodedError('invalid_argument', `"${name.slice(0, 300)}" is not a repository name`, {
        subject: { kind: 'repository', name: name.slice(0, 300) },
      });
    }
    switch (endpoint.kind) {
      case 'blob':
        return call.request.method === 'DELETE'
          ? deleteBlob(call, name, endpoint.reference, routes)
          : pullBlob(call, name, endpoint.reference, routes);
      case 'manifest':
        if (call.request.method === 'PUT') return putManifest(call, name, endpoint.reference, routes);
        return call.request.method === 'DELETE'
          ? deleteManifest(call, name, endpoint.reference, routes)
          : pullManifest(call, name, endpoint.reference, routes);
      case 'referrers':
        return listReferrers(call, name, endpoint.reference, routes);
      case 'tags':
        return listTags(call, name, routes);
      case 'uploads':
        return beginUpload(call, name, routes);
      case 'upload':
        return this.#answerUpload(call, name, endpoint.id, routes);
    }
  }

  #answerUpload(
    call: Call,
    name: string,
    id: string,
    routes: { readonly metadata: RegistryMetadata; readonly sessions: UploadSessions },
  ): Promise<void> {
    switch (call.request.method) {
      case 'PATCH':
        return appendUpload(call, name, id, routes);
      case 'PUT':
        return finishUpload(call, name, id, routes);
      case 'DELETE':
        return cancelUpload(call, name, id, routes);
      default:
        return showUpload(call, name, id, routes);
    }
  }

  #emit(event: RegistryEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#options.log.error('a listener of registry events failed', { error: messageOf(error) });
      }
    }
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const answer = registryErrorFor(error);
    const isGone = response.destroyed || request.errored !== null;
    if (answer.hidden && !isGone) {
      this.#options.log.error('registry request failed', {
        method: request.method,
        url: request.url,
        code: codeOf(error),
        error: messageOf(error),
      });
    }
    if (isGone || response.headersSent) {
      // Too late for an answer: a cut connection tells the client that what it has is not whole.
      response.destroy();
      return;
    }
    if (answer.status === 401) this.#challenge(request, response, error);
    const isUnread =
      !request.complete && Number(request.headers['content-length'] ?? Infinity) > DRAIN_LIMIT_BYTES;
    const body = JSON.stringify(answer.body);
    response.writeHead(
      answer.status,
      withCommon({
        ...answer.headers,
        'Content-Type': 'application/json; charset=utf-8',
        'Content-Length': Buffer.byteLength(body),
        ...(isUnread && request.method !== 'GET' && request.method !== 'HEAD' ? { Connection: 'close' } : {}),
      }),
    );
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  #challenge(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const data = error instanceof CodedError ? error.data : undefined;
    const scope = data?.['scope'];
    const named = data?.['tokenError'];
    const value = this.#options.authenticator.challenge({
      host: request.headers.host ?? '',
      scope: typeof scope === 'string' ? scope : undefined,
      error:
        named === 'invalid_token'
          ? 'invalid_token'
          : data?.['isScope'] === true
            ? 'insufficient_scope'
            : undefined,
    });
    if (value !== undefined) response.setHeader('WWW-Authenticate', value);
  }
}

/** Not 503: clients would try again and again, and not say why. */
function readOnly(): CodedError {
  return new CodedError(
    'permission_denied',
    'the registry is read-only for maintenance: pulling works, pushing does not',
    {
      help: {
        id: 'push/read-only-registry',
        cause: 'its administrator started it with --read-only',
        fix: ['push again when the maintenance has ended'],
      },
    },
  );
}
