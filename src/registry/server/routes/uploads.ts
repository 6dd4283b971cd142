/** end-4, end-5, end-6, end-11, end-13, end-14: pushing and mounting blobs. */
import { CodedError, hasCode } from '#base/errors/index.ts';
import type { Digest, DigestAlgorithm } from '#oci/digest/index.ts';
import { isRepository } from '#oci/reference/index.ts';
import { encodeUploadRange, HEADER, parseChunkRange } from '#registry/protocol/index.ts';
import { type Call, checkDigest, scopeFor } from '../call.ts';
import type { RegistryMetadata } from '../types.ts';
import type { UploadBody, UploadSessions } from '../uploads.ts';

/** What the upload routes use. */
export interface UploadRoutes {
  readonly metadata: RegistryMetadata;
  readonly sessions: UploadSessions;
}

/** Repositories of a blob that are tried for a mount without `from`. */
const MOUNT_SOURCES = 20;

/** POST: begins a session, takes a whole blob, or mounts one. */
export async function beginUpload(call: Call, repository: string, routes: UploadRoutes): Promise<void> {
  const { query } = call;
  const from = query.get('from');
  await call.require(
    repository,
    'push',
    query.has('mount') && from !== null && isRepository(from) ? scopeFor(from, 'pull') : undefined,
  );
  const mount = query.get('mount');
  if (mount !== null && (await tryMount(call, repository, checkDigest(mount), routes.metadata))) {
    sendCreated(call, repository, checkDigest(mount));
    return;
  }
  const digestText = query.get('digest');
  const algorithm = checkAlgorithm(query.get('digest-algorithm'));
  const digest = digestText === null ? undefined : checkDigest(digestText);
  const upload = await routes.sessions.begin(repository, call.subject, algorithm);
  if (digest === undefined) {
    sendSession(call, 202, repository, upload.id, 0);
    return;
  }
  try {
    await routes.sessions.finish(upload.id, repository, call.subject, { request: call.request, digest });
  } catch (error) {
    // Nobody knows the id: what arrived is of no use.
    await routes.sessions.cancel(upload.id, repository, call.subject).catch(() => undefined);
    throw error;
  }
  sendCreated(call, repository, digest);
}

/** GET: how far the session is. */
export async function showUpload(
  call: Call,
  repository: string,
  id: string,
  { sessions }: UploadRoutes,
): Promise<void> {
  await call.require(repository, 'push');
  sendSession(call, 204, repository, id, await sessions.offsetOf(id, repository, call.subject));
}

/** PATCH: a chunk with a range, or a stream without. */
export async function appendUpload(
  call: Call,
  repository: string,
  id: string,
  { sessions }: UploadRoutes,
): Promise<void> {
  await call.require(repository, 'push');
  const offset = await reportingOffset(call, repository, id, () =>
    sessions.append(id, repository, call.subject, bodyOf(call)),
  );
  sendSession(call, 202, repository, id, offset);
}

/** PUT: the last bytes, if any, and the digest. */
export async function finishUpload(
  call: Call,
  repository: string,
  id: string,
  { sessions }: UploadRoutes,
): Promise<void> {
  await call.require(repository, 'push');
  const digest = checkDigest(call.query.get('digest') ?? '');
  await reportingOffset(call, repository, id, () =>
    sessions.finish(id, repository, call.subject, { ...bodyOf(call), digest }),
  );
  sendCreated(call, repository, digest);
}

/** DELETE: the session and its bytes are gone. */
export async function cancelUpload(
  call: Call,
  repository: string,
  id: string,
  { sessions }: UploadRoutes,
): Promise<void> {
  await call.require(repository, 'push');
  await sessions.cancel(id, repository, call.subject);
  call.response.setHeader(HEADER.uploadId, id);
  sendEmpty(call, 204, {});
}

/** Mounts when the caller may pull from the source and the source has the blob; otherwise says nothing about either. */
async function tryMount(
  call: Call,
  repository: string,
  digest: Digest,
  metadata: RegistryMetadata,
): Promise<boolean> {
  const from = call.query.get('from');
  const sources = from === null ? await metadata.listBlobRepositories(digest, MOUNT_SOURCES) : [from];
  for (const source of sources) {
    if (!isRepository(source) || !(await call.may(source, 'pull'))) continue;
    if (await metadata.mountBlob({ digest, from: source, to: repository })) return true;
  }
  return false;
}

/** A chunk out of order is answered with where the session is, so that the client can go on from there. */
async function reportingOffset<T>(
  call: Call,
  repository: string,
  id: string,
  use: () => Promise<T>,
): Promise<T> {
  try {
    return await use();
  } catch (error) {
    if (hasCode(error, 'invalid_argument') && typeof error.data?.['offset'] === 'number') {
      call.response.setHeader('Location', locationOf(repository, id));
      call.response.setHeader('Range', encodeUploadRange(error.data['offset']));
      call.response.setHeader(HEADER.uploadId, id);
    }
    throw error;
  }
}

function bodyOf(call: Call): UploadBody {
  const header = call.request.headers['content-range'];
  return { request: call.request, range: header === undefined ? undefined : parseChunkRange(header) };
}

function checkAlgorithm(text: string | null): DigestAlgorithm {
  if (text === null || text === 'sha256') return 'sha256';
  if (text === 'sha512') return 'sha512';
  throw new CodedError('invalid_argument', `digest algorithm "${text.slice(0, 40)}" is not supported`, {
    subject: { kind: 'digest', name: text.slice(0, 40) },
  });
}

function locationOf(repository: string, id: string): string {
  return `/v2/${repository}/blobs/uploads/${id}`;
}

function sendSession(call: Call, status: number, repository: string, id: string, offset: number): void {
  sendEmpty(call, status, {
    Location: locationOf(repository, id),
    Range: encodeUploadRange(offset),
    [HEADER.uploadId]: id,
  });
}

function sendCreated(call: Call, repository: string, digest: Digest): void {
  sendEmpty(call, 201, {
    Location: `/v2/${repository}/blobs/${digest}`,
    [HEADER.contentDigest]: digest,
  });
}

function sendEmpty(call: Call, status: number, headers: Record<string, string>): void {
  call.send(status, headers);
}
