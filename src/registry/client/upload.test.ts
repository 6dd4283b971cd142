import assert from 'node:assert/strict';
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
