import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import { parseDigest } from '#oci/digest/index.ts';
import {
  clientOf,
  openDouble,
  sendError,
  sha256Of,
  startRegistryDouble,
} from '../../../test/support/registry-double.ts';

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test('an upload Location on another host gets no credentials', async () => {
  await using double = await startRegistryDouble();
  await using storage = await startRegistryDouble();
  await using client = clientOf();
  double.intercept = (request, response) => {
    if (request.headers.authorization === undefined) {
      response.setHeader('www-authenticate', 'Basic realm="x"');
      sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
      return true;
    }
    if (request.method !== 'POST') return false;
    const location = `http://${storage.host}/v2/team/app/blobs/uploads/9`;
    return Boolean(response.writeHead(202, { location }).end());
  };
  const bytes = Buffer.from('blob');
  const repository = await openDouble(client, double.host, 'push');
  await repository.uploadBlob({ digest: parseDigest(sha256Of(bytes)), size: 4 }, () => one(bytes));
  assert.deepEqual(storage.blobs.get(sha256Of(bytes)), bytes);
  assert.ok(
    storage.seen.length > 0 && storage.seen.every(({ authorization }) => authorization === undefined),
  );
});

test('a blob is uploaded whole, in chunks where the registry refuses that, and again after a reset', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const bytes = Buffer.alloc(300_000, 'x');
  const descriptor = { digest: parseDigest(sha256Of(bytes)), size: bytes.byteLength };
  const repository = await openDouble(client, double.host, 'push');
  const sent: number[] = [];
  await repository.uploadBlob(descriptor, () => one(bytes), { onProgress: (n) => sent.push(n) });
  assert.equal(sent.at(-1), bytes.byteLength);
  assert.deepEqual(
    double.seen.map(({ method }) => method),
    ['GET', 'POST', 'PUT'],
  );

  double.blobs.clear();
  double.intercept = (request, response, body) => {
    if (request.method !== 'PUT' || body.byteLength === 0) return false;
    sendError(response, 413, 'SIZE_INVALID', 'too large');
    return true;
  };
  await repository.uploadBlob(descriptor, () => one(bytes));
  assert.deepEqual(double.blobs.get(descriptor.digest), bytes);

  double.blobs.clear();
  let resets = 2;
  double.intercept = (request) => {
    if (request.method !== 'PUT' || resets-- <= 0) return false;
    request.socket.destroy();
    return true;
  };
  await repository.uploadBlob(descriptor, () => one(bytes));
  assert.deepEqual(double.blobs.get(descriptor.digest), bytes);
});

test('a blob is uploaded while it is made; what the registry does not take in this way is said', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const repository = await openDouble(client, double.host, 'push');
  const bytes = Buffer.alloc(200_000, 'y');
  const descriptor = { digest: parseDigest(sha256Of(bytes)), size: bytes.byteLength };
  const made = Promise.withResolvers<typeof descriptor>();
  const making = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 70_000);
    yield bytes.subarray(70_000);
    made.resolve(descriptor);
  };
  assert.equal(await repository.uploadUnfinished(making, made.promise), true);
  assert.deepEqual(double.blobs.get(descriptor.digest), bytes);
  assert.deepEqual(
    double.seen.map(({ method }) => method),
    ['GET', 'POST', 'PATCH', 'PUT'],
  );

  double.blobs.clear();
  const upload = (): Promise<boolean> => repository.uploadUnfinished(() => one(bytes), made.promise);
  const failures: readonly ((request: IncomingMessage, response: ServerResponse) => void)[] = [
    (_, response) => sendError(response, 405, 'UNSUPPORTED', 'the operation is unsupported'),
    (request) => request.socket.destroy(),
    (_, response) => void response.writeHead(202).end(),
  ];
  for (const fail of failures) {
    double.intercept = (request, response) => {
      if (request.method !== 'PATCH') return false;
      fail(request, response);
      return true;
    };
    assert.equal(await upload(), false);
  }
  double.intercept = undefined;
  const wrong = Promise.resolve({ digest: parseDigest(sha256Of('z')), size: 1 });
  assert.equal(await repository.uploadUnfinished(() => one(bytes), wrong), false);
  assert.equal(double.blobs.size, 0);

  double.intercept = (_, response) => {
    sendError(response, 403, 'DENIED', 'requested access to the resource is denied');
    return true;
  };
  await assert.rejects(upload(), { code: 'permission_denied' });
});

test('an upload of an unfinished blob ends with its caller', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const repository = await openDouble(client, double.host, 'push');
  const caller = new AbortController();
  const stuck = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(10);
    caller.abort(new Error('not wanted any more'));
    await new Promise((resolve) => setTimeout(resolve, 50));
  };
  const never = new Promise<never>(() => undefined);
  await assert.rejects(
    repository.uploadUnfinished(stuck, never, { signal: caller.signal }),
    /not wanted any more/,
  );
});

test('bytes that cannot be read here end an upload at once with their own error', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const repository = await openDouble(client, double.host, 'push');
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('x');
    throw new CodedError('data_loss', 'the layer is broken');
  };
  const digest = parseDigest(sha256Of('xy'));
  await assert.rejects(repository.uploadBlob({ digest, size: 2 }, broken), /the layer is broken/);
});

test('a blob is mounted from another repository, with pull on it in the scope, or not', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const bytes = Buffer.from('shared');
  const digest = parseDigest(sha256Of(bytes));
  const repository = await openDouble(client, double.host, 'push');
  assert.equal(await repository.mountBlob(digest, 'team/base'), false);
  double.blobs.set(digest, bytes);
  assert.equal(await repository.mountBlob(digest, 'team/base'), true);
  assert.match(double.seen.at(-1)?.url ?? '', /\?mount=sha256%3A[0-9a-f]+&from=team%2Fbase$/);
});
