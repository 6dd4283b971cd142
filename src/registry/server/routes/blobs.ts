/** end-2, end-10: pulling and deleting blobs. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { CodedError } from '#base/errors/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { HEADER, parseByteRange } from '#registry/protocol/index.ts';
import { type Call, checkDigest, type Headers, withCommon } from '../call.ts';
import type { BlobStorage, RegistryMetadata, StoredBlob } from '../types.ts';

/** What the blob routes use. */
export interface BlobRoutes {
  readonly metadata: RegistryMetadata;
  readonly storage: BlobStorage;
}

/** GET and HEAD of a blob. */
export async function pullBlob(
  call: Call,
  repository: string,
  reference: string,
  { metadata, storage }: BlobRoutes,
): Promise<void> {
  await call.require(repository, 'pull');
  const digest = checkDigest(reference);
  const blob = await metadata.findBlob(repository, digest);
  if (blob === undefined) throw unknownBlob(digest);
  const headers: Headers = {
    'Content-Type': 'application/octet-stream',
    'Content-Length': blob.sizeBytes,
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, max-age=31536000, immutable',
    ETag: `"${digest}"`,
    [HEADER.contentDigest]: digest,
  };
  if (call.request.headers['if-none-match'] === headers['ETag']) {
    delete headers['Content-Length'];
    call.response.writeHead(304, withCommon(headers)).end();
    return;
  }
  if (call.request.method === 'HEAD') {
    // Whoever is told that it is here will not push it: it must stay until their manifest arrives.
    if (blob.isUnreferenced && !(await metadata.renewBlob(repository, digest))) throw unknownBlob(digest);
    call.response.writeHead(200, withCommon(headers)).end();
    return;
  }
  await sendBlob(call, blob, headers, storage);
}

/** DELETE of a blob: gone from this repository at once. */
export async function deleteBlob(
  call: Call,
  repository: string,
  reference: string,
  { metadata }: BlobRoutes,
): Promise<void> {
  await call.require(repository, 'delete');
  const digest = checkDigest(reference);
  if (!(await metadata.deleteBlob(repository, digest))) throw unknownBlob(digest);
  call.send(202, {});
}

async function sendBlob(call: Call, blob: StoredBlob, headers: Headers, storage: BlobStorage): Promise<void> {
  const { response } = call;
  const asked = parseRange(call, blob.sizeBytes);
  const range = asked ?? { start: 0, end: blob.sizeBytes };
  if (asked !== undefined) {
    headers['Content-Range'] = `bytes ${range.start}-${range.end - 1}/${blob.sizeBytes}`;
    headers['Content-Length'] = range.end - range.start;
  }
  const status = asked === undefined ? 200 : 206;
  if ('content' in blob.location) {
    response.writeHead(status, withCommon(headers));
    response.end(blob.location.content.subarray(range.start, range.end));
    return;
  }
  if (range.start === range.end) {
    response.writeHead(status, withCommon(headers)).end();
    return;
  }
  for await (const chunk of storage.openBlob(blob.location.key, range)) {
    // The head goes with the first chunk: a file that cannot be opened is still a proper error.
    if (!response.headersSent) response.writeHead(status, withCommon(headers));
    if (!(await writeChunk(response, chunk))) return;
  }
  response.end();
}

function parseRange(call: Call, sizeBytes: number) {
  const { range } = call.request.headers;
  const condition = call.request.headers['if-range'];
  // We change nothing under a digest, but a client that holds another representation must get the whole.
  if (condition !== undefined && !condition.includes('sha')) return undefined;
  try {
    return parseByteRange(range, sizeBytes);
  } catch (error) {
    call.response.setHeader('Content-Range', `bytes */${sizeBytes}`);
    throw error;
  }
}

/** Writes until the kernel has it all; false when the client is gone. */
function writeChunk(response: ServerResponse, chunk: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve(false);
      return;
    }
    const onClose = (): void => resolve(false);
    response.once('close', onClose);
    response.write(chunk, (error) => {
      response.off('close', onClose);
      resolve(error === null || error === undefined);
    });
  });
}

/** Waits for an answer to be sent or its client to go. */
export async function finished(response: ServerResponse): Promise<void> {
  if (!response.writableFinished && !response.destroyed) await once(response, 'close');
}

function unknownBlob(digest: Digest): CodedError {
  return new CodedError('not_found', 'blob unknown to registry', {
    subject: { kind: 'blob', name: digest },
    data: { detail: { digest } },
  });
}
