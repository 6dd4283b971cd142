import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { CodedError } from '#base/errors/index.ts';
import { algorithmOf, type Digest, type DigestAlgorithm, digestOf } from '#oci/digest/index.ts';
import type { ByteRange } from '#registry/protocol/index.ts';
import { BodyReceiver } from './receive.ts';
import type { BlobLocation, BlobStorage, RegistryMetadata, Upload, UploadHash } from './types.ts';

/** Blobs up to this size are kept beside their row: one transaction makes them durable, and no file is needed. */
export const INLINE_LIMIT_BYTES = 32 * 1024;

/** How stale the date in a session's row may be. */
const TOUCH_AFTER_MS = 10 * 60 * 1000;

/** A body and what the request says about it. */
export interface UploadBody {
  readonly request: IncomingMessage;
  readonly range?: ByteRange | undefined;
}

/** An upload session in this process. The row and the file are the truth; this is what is known beside them. */
interface Session {
  readonly upload: Upload;
  isSaved: boolean;
  hash: UploadHash | undefined;
  usedAt: number;
  /** The request that is writing, if any. */
  current: { readonly request: IncomingMessage; readonly done: Promise<void> } | undefined;
}

/** What the sessions need. */
export interface UploadSessionsOptions {
  readonly metadata: RegistryMetadata;
  readonly storage: BlobStorage;
  /** Largest blob, in bytes. */
  readonly blobLimitBytes: number;
}

/** A blob that has become part of a repository. */
export interface FinishedUpload {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/**
 * Upload sessions, bound to a repository and a subject, under random ids. They survive the process: a session with bytes
 * has a row, and its offset is the size of its file. A session without bytes lives in memory until `close`.
 */
export class UploadSessions {
  readonly #metadata: RegistryMetadata;
  readonly #storage: BlobStorage;
  readonly #limit: number;
  readonly #sessions = new Map<string, Session>();

  constructor({ metadata, storage, blobLimitBytes }: UploadSessionsOptions) {
    this.#metadata = metadata;
    this.#storage = storage;
    this.#limit = blobLimitBytes;
  }

  /** Begins a session; nothing is written yet. */
  async begin(repository: string, subject: string, algorithm: DigestAlgorithm = 'sha256'): Promise<Upload> {
    await this.#storage.checkRoom();
    const upload: Upload = { id: randomBytes(16).toString('hex'), repository, subject, algorithm };
    const session = this.#remember(upload, false);
    if (this.#metadata.isShared) await this.#save(session);
    return upload;
  }

  /**
   * The offset of a session.
   * @throws {CodedError} `not_found` about an `upload`, also for somebody else's.
   */
  async offsetOf(id: string, repository: string, subject: string): Promise<number> {
    const session = await this.#find(id, repository, subject);
    return (await this.#storage.uploadSize(session.upload.id)) ?? 0;
  }

  /** Appends a body and returns the new offset. A client that goes away leaves what arrived. */
  append(id: string, repository: string, subject: string, body: UploadBody): Promise<number> {
    return this.#withSession(id, repository, subject, body.request, async (session) => {
      const receiver = await this.#receive(session, body, () => true);
      return receiver.offset;
    });
  }

  /** Appends the last body, checks the digest, makes the blob durable and part of the repository. */
  finish(
    id: string,
    repository: string,
    subject: string,
    body: UploadBody & { readonly digest: Digest },
  ): Promise<FinishedUpload> {
    return this.#withSession(id, repository, subject, body.request, (session) => this.#finish(session, body));
  }

  /** Drops a session and its bytes. */
  async cancel(id: string, repository: string, subject: string): Promise<void> {
    const session = await this.#find(id, repository, subject);
    session.current?.request.destroy();
    await session.current?.done;
    await this.#drop(session);
  }

  /** Forgets sessions idle since `before`; those with bytes lose them. Returns how many were dropped. */
  async expire(before: Date): Promise<number> {
    let dropped = 0;
    for (const session of [...this.#sessions.values()]) {
      if (session.usedAt >= before.getTime() || session.current !== undefined) continue;
      this.#sessions.delete(session.upload.id);
      session.hash?.drop();
    }
    for (;;) {
      const ids = await this.#metadata.listIdleUploads(before, 100);
      if (ids.length === 0) return dropped;
      for (const id of ids) {
        const session = this.#sessions.get(id);
        if (session !== undefined) {
          await this.#metadata.saveUpload(session.upload);
          continue;
        }
        await this.#storage.abortUpload(id);
        await this.#metadata.deleteUpload(id);
        dropped++;
      }
    }
  }

  /** Removes what a crash left behind: files between upload and blob, and bytes whose session has no row. */
  async recover(listFiles: () => Promise<readonly string[]>): Promise<void> {
    if (this.#metadata.isShared) return;
    for (const id of await listFiles()) {
      if ((await this.#metadata.findUpload(id)) === undefined) await this.#storage.abortUpload(id);
    }
    const ids = await this.#metadata.listIdleUploads(new Date(), Number.MAX_SAFE_INTEGER);
    for (const id of ids) {
      // A session loses its row in the transaction that adds its blob: this file never became one.
      if ((await this.#storage.blobSize(id)) === undefined) continue;
      await this.#storage.removeBlob(id);
      await this.#metadata.deleteUpload(id);
    }
  }

  /**
   * Gives every session a row, so that a client may go on after a restart. Resolves with the failures: such a session is
   * lost, its client begins again.
   */
  async close(): Promise<readonly unknown[]> {
    const failures: unknown[] = [];
    for (const session of this.#sessions.values()) {
      session.current?.request.destroy();
      await session.current?.done;
      session.hash?.drop();
      await this.#save(session).catch((error: unknown) => failures.push(error));
    }
    this.#sessions.clear();
    await this.#metadata.flush();
    return failures;
  }

  async #finish(session: Session, body: UploadBody & { readonly digest: Digest }): Promise<FinishedUpload> {
    const receiver = await this.#receive(session, body, (size) => size > INLINE_LIMIT_BYTES);
    const sizeBytes = receiver.offset + receiver.heldBytes;
    if (sizeBytes <= INLINE_LIMIT_BYTES) return this.#finishSmall(session, receiver, body.digest);
    const algorithm = algorithmOf(body.digest);
    if (session.hash?.algorithm !== algorithm) {
      session.hash?.drop();
      session.hash = this.#storage.hashUpload(session.upload.id, algorithm);
    }
    const actual = await session.hash.digest(sizeBytes);
    if (actual !== body.digest) {
      await this.#drop(session);
      throw digestMismatch(body.digest, actual);
    }
    const key = session.upload.id;
    // The row of the session must be durable before the file moves: after a crash it is what leads to the file.
    await this.#save(session);
    await this.#metadata.flush();
    await this.#storage.finishUpload(key);
    const { isKept } = await this.#metadata.addBlob(
      { repository: session.upload.repository, digest: actual, sizeBytes, location: { key }, uploadId: key },
      (location) => this.#isIntact(location, sizeBytes),
    );
    if (!isKept) await this.#storage.removeBlob(key);
    this.#sessions.delete(key);
    return { digest: actual, sizeBytes };
  }

  async #finishSmall(session: Session, receiver: BodyReceiver, digest: Digest): Promise<FinishedUpload> {
    const { id, repository } = session.upload;
    const held = receiver.takeHeld();
    const content = receiver.offset === 0 ? held : Buffer.concat([await this.#storage.readUpload(id), held]);
    const actual = digestOf(content, algorithmOf(digest));
    if (actual !== digest) {
      await this.#drop(session);
      throw digestMismatch(digest, actual);
    }
    const sizeBytes = content.byteLength;
    await this.#metadata.addBlob(
      {
        repository,
        digest,
        sizeBytes,
        location: { content },
        uploadId: session.isSaved ? id : undefined,
      },
      (location) => this.#isIntact(location, sizeBytes),
    );
    session.hash?.drop();
    if (session.isSaved) await this.#storage.abortUpload(id);
    this.#sessions.delete(id);
    return { digest, sizeBytes };
  }

  /** Reads the body; `mustStore` decides by the size of the whole whether what is still in memory goes to the file. */
  async #receive(
    session: Session,
    { request, range }: UploadBody,
    mustStore: (sizeBytes: number) => boolean,
  ): Promise<BodyReceiver> {
    const offset = session.isSaved ? ((await this.#storage.uploadSize(session.upload.id)) ?? 0) : 0;
    if (range !== undefined && range.start !== offset) {
      throw new CodedError('invalid_argument', `upload is at ${offset}, the chunk begins at ${range.start}`, {
        subject: { kind: 'range', name: `${range.start}-${range.end - 1}` },
        data: { offset },
      });
    }
    const receiver = new BodyReceiver({
      offset,
      limitBytes: this.#limit,
      open: async () => {
        await this.#save(session);
        return this.#storage.openWriter(session.upload.id);
      },
      onStored: (stored) => {
        session.hash ??= this.#storage.hashUpload(session.upload.id, session.upload.algorithm);
        session.hash.advance(stored);
      },
    });
    try {
      await receiver.receive(request, range === undefined ? undefined : range.end - range.start);
      if (mustStore(receiver.offset + receiver.heldBytes)) await receiver.store();
    } catch (error) {
      // A client that went away can resume; one that is still there is told, and sends the same again.
      const isGone = !request.complete && (request.errored !== null || request.destroyed);
      await receiver.abandon(isGone);
      if (!isGone) await this.#rewind(session, offset);
      throw error;
    }
    return receiver;
  }

  /** Undoes a body that was refused, so that the client can send it again. */
  async #rewind(session: Session, offset: number): Promise<void> {
    if (!session.isSaved || (await this.#storage.uploadSize(session.upload.id)) === undefined) return;
    session.hash?.drop();
    session.hash = undefined;
    await this.#storage.truncateUpload(session.upload.id, offset);
  }

  async #withSession<T>(
    id: string,
    repository: string,
    subject: string,
    request: IncomingMessage,
    use: (session: Session) => Promise<T>,
  ): Promise<T> {
    const session = await this.#find(id, repository, subject);
    while (session.current !== undefined) {
      // The same client again: its earlier request is a dead connection that we have not noticed yet.
      session.current.request.destroy();
      await session.current.done;
    }
    if (this.#sessions.get(id) !== session) throw unknownUpload(id);
    let finished: () => void = () => {};
    session.current = { request, done: new Promise((resolve) => (finished = resolve)) };
    try {
      return await use(session);
    } finally {
      const idleMs = Date.now() - session.usedAt;
      session.usedAt = Date.now();
      session.current = undefined;
      if (session.isSaved && idleMs > TOUCH_AFTER_MS && this.#sessions.has(id))
        await this.#metadata.saveUpload(session.upload);
      finished();
    }
  }

  async #find(id: string, repository: string, subject: string): Promise<Session> {
    let session = this.#sessions.get(id);
    if (session === undefined && /^[0-9a-f]{32}$/.test(id)) {
      const upload = await this.#metadata.findUpload(id);
      // Two requests may look at once; both must get the same session.
      if (upload !== undefined) session = this.#sessions.get(id) ?? this.#remember(upload, true);
    }
    if (
      session === undefined ||
      session.upload.repository !== repository ||
      session.upload.subject !== subject
    ) {
      throw unknownUpload(id);
    }
    return session;
  }

  #remember(upload: Upload, isSaved: boolean): Session {
    const session: Session = {
      upload,
      isSaved,
      hash: undefined,
      usedAt: Date.now(),
      current: undefined,
    };
    this.#sessions.set(upload.id, session);
    return session;
  }

  async #save(session: Session): Promise<void> {
    if (session.isSaved) return;
    await this.#metadata.saveUpload(session.upload);
    session.isSaved = true;
  }

  async #drop(session: Session): Promise<void> {
    this.#sessions.delete(session.upload.id);
    session.hash?.drop();
    if (!session.isSaved) return;
    await this.#storage.abortUpload(session.upload.id);
    await this.#metadata.deleteUpload(session.upload.id);
  }

  async #isIntact(location: BlobLocation, sizeBytes: number): Promise<boolean> {
    return 'content' in location || (await this.#storage.blobSize(location.key)) === sizeBytes;
  }
}

function unknownUpload(id: string): CodedError {
  return new CodedError('not_found', 'blob upload unknown to registry', {
    subject: { kind: 'upload', name: id.slice(0, 64) },
  });
}

function digestMismatch(expected: Digest, actual: Digest): CodedError {
  return new CodedError(
    'invalid_argument',
    `provided digest did not match uploaded content: expected ${expected}, got ${actual}`,
    { subject: { kind: 'digest', name: expected } },
  );
}
