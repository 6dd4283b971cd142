import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import { parseDigest } from '#oci/digest/index.ts';
import { encodeDocument, MEDIA } from '#oci/manifest/index.ts';
import {
  anonymous,
  clientOf,
  FAST,
  openDouble,
  type RegistryDouble,
  SECRET,
  sendError,
  sha256Of,
  startRegistryDouble,
} from '../../../test/support/registry-double.ts';

function addManifest(double: RegistryDouble, tag = 'v1'): { bytes: Buffer; digest: string } {
  const config = Buffer.from('{}');
  const bytes = Buffer.from(
    encodeDocument({
      schemaVersion: 2,
      mediaType: MEDIA.dockerManifest,
      config: { mediaType: MEDIA.dockerConfig, digest: sha256Of(config), size: 2 },
      layers: [],
    }),
  );
  const entry = { bytes, type: MEDIA.dockerManifest };
  double.manifests.set(`team/app ${tag}`, entry);
  double.manifests.set(`team/app ${sha256Of(bytes)}`, entry);
  return { bytes, digest: sha256Of(bytes) };
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

test('a manifest is resolved with HEAD and its bytes are kept as they are', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const { bytes, digest } = addManifest(double);
  const repository = await openDouble(client, double.host);
  assert.deepEqual(await repository.resolveManifest('v1'), {
    mediaType: MEDIA.dockerManifest,
    digest,
    size: bytes.byteLength,
  });
  const manifest = await repository.fetchManifest(digest);
  assert.deepEqual(Buffer.from(manifest.bytes), bytes);
  assert.deepEqual(await Array.fromAsync(repository.listTags()), ['v1']);
});

test('other bytes than the digest names are refused', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const { digest } = addManifest(double);
  const other = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }));
  double.manifests.set(`team/app ${digest}`, { bytes: other, type: MEDIA.ociIndex });
  const repository = await openDouble(client, double.host);
  await assert.rejects(repository.fetchManifest(digest), /manifest verification failed for digest sha256:/);
});

test('an endless manifest is cut off at the limit', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  double.intercept = (request, response) => {
    if (!request.url?.includes('/manifests/')) return false;
    response.writeHead(200, { 'content-type': MEDIA.ociManifest });
    if (request.method === 'HEAD') return Boolean(response.end());
    const pump = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65536, 32)));
      if (!response.destroyed) response.once('drain', pump);
    };
    pump();
    return true;
  };
  const repository = await openDouble(client, double.host);
  await assert.rejects(repository.fetchManifest('v1'), /larger than 4194304 bytes/);
});

test('a token is asked for once, with our scope, and goes with each later request', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  addManifest(double);
  const tokens: string[] = [];
  double.intercept = (request, response) => {
    if (request.url?.startsWith('/token')) {
      tokens.push(`${request.url} ${request.headers.authorization}`);
      return Boolean(response.end(JSON.stringify({ token: 'T', expires_in: 300 })));
    }
    if (request.headers.authorization === 'Bearer T') return false;
    response.setHeader(
      'www-authenticate',
      `Bearer realm="http://${double.host}/token",service="double",scope="repository:other:pull"`,
    );
    sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
    return true;
  };
  const repository = await openDouble(client, double.host, 'push');
  await Promise.all([repository.resolveManifest('v1'), repository.fetchManifest('v1')]);
  assert.equal(tokens.length, 1);
  assert.match(tokens[0] ?? '', /service=double&scope=repository%3Ateam%2Fapp%3Apull%2Cpush&account=user/);
  assert.match(tokens[0] ?? '', /Basic dXNlcjpzZWNyZXQ=$/);
});

test('a realm on another host gets no credentials, and the error says so', async () => {
  await using double = await startRegistryDouble();
  await using evil = await startRegistryDouble();
  await using client = clientOf();
  const evilPort = evil.host.split(':')[1];
  evil.intercept = (_request, response) => Boolean(response.end(JSON.stringify({ token: 'anon' })));
  double.intercept = (_request, response) => {
    response.setHeader('www-authenticate', `Bearer realm="http://localhost:${evilPort}/token",service="x"`);
    sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
    return true;
  };
  const repository = await openDouble(client, double.host);
  await assert.rejects(repository.fetchManifest('v1'), /unauthorized: authentication required/);
  assert.deepEqual(
    evil.seen.map(({ authorization }) => authorization),
    evil.seen.map(() => undefined),
  );
  assert.ok(evil.seen.length > 0);
  assert.match(repository.access.withheld ?? '', /is not part of/);
});

test('a blob redirect to another host is followed without credentials; its challenge is not answered', async () => {
  await using double = await startRegistryDouble();
  await using storage = await startRegistryDouble();
  await using client = clientOf();
  const bytes = Buffer.from('layer');
  const digest = parseDigest(sha256Of(bytes));
  storage.blobs.set(digest, bytes);
  double.intercept = (request, response) => {
    if (request.headers.authorization === undefined) {
      response.setHeader('www-authenticate', 'Basic realm="x"');
      sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
      return true;
    }
    if (!request.url?.includes('/blobs/')) return false;
    return Boolean(
      response.writeHead(307, { location: `http://${storage.host}/v2/a/blobs/${digest}` }).end(),
    );
  };
  const repository = await openDouble(client, double.host);
  const { body } = await repository.openBlob(digest);
  assert.deepEqual(await collect(body), bytes);
  assert.equal(storage.seen[0]?.authorization, undefined);
  storage.intercept = (_request, response) => {
    response.setHeader('www-authenticate', 'Basic realm="give me the password"');
    sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
    return true;
  };
  await assert.rejects(repository.openBlob(digest), /unauthorized: authentication required/);
  assert.ok(storage.seen.every(({ authorization }) => authorization === undefined));
});

test('a blob is read from an offset, and a server that ignores the range says so', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const bytes = Buffer.from('0123456789');
  const digest = parseDigest(sha256Of(bytes));
  double.blobs.set(digest, bytes);
  const repository = await openDouble(client, double.host);
  const part = await repository.openBlob(digest, { offset: 4 });
  assert.equal(part.offset, 4);
  assert.equal((await collect(part.body)).toString(), '456789');
  double.intercept = (request, response) =>
    request.url?.includes('/blobs/') ? Boolean(response.writeHead(200).end(bytes)) : false;
  const whole = await repository.openBlob(digest, { offset: 4 });
  assert.equal(whole.offset, 0);
  assert.equal((await collect(whole.body)).toString(), '0123456789');
});

test('429 with a short Retry-After and 503 are tried again; a long Retry-After is an answer', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  addManifest(double);
  let failures = 2;
  double.intercept = (request, response) => {
    if (!request.url?.includes('/manifests/') || failures-- <= 0) return false;
    if (failures === 1) response.setHeader('retry-after', '0');
    sendError(response, failures === 1 ? 429 : 503, 'TOOMANYREQUESTS', 'slow down');
    return true;
  };
  const repository = await openDouble(client, double.host);
  assert.equal((await repository.fetchManifest('v1')).kind, 'manifest');
  double.intercept = (request, response) => {
    if (!request.url?.includes('/manifests/')) return false;
    response.setHeader('retry-after', '3600');
    sendError(response, 429, 'TOOMANYREQUESTS', 'You have reached your pull rate limit.');
    return true;
  };
  const before = double.seen.length;
  await assert.rejects(repository.fetchManifest('v1'), (error: unknown) => {
    assert.ok(error instanceof CodedError);
    assert.equal(error.code, 'resource_exhausted');
    assert.equal(error.message, 'toomanyrequests: You have reached your pull rate limit.');
    return true;
  });
  assert.equal(double.seen.length, before + 1);
});

test('Basic without stored credentials, no rights and an absent tag have the texts of Docker', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const repository = await openDouble(client, double.host);
  await assert.rejects(
    repository.resolveManifest('none'),
    /^CodedError: manifest unknown: manifest unknown$/,
  );
  double.intercept = (_request, response) => {
    response.setHeader('www-authenticate', 'Bearer realm="/token",error="insufficient_scope"');
    if (_request.url?.startsWith('/token')) return Boolean(response.end('{"token":"t"}'));
    sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
    return true;
  };
  await assert.rejects(
    repository.resolveManifest('v1'),
    /^CodedError: denied: requested access to the resource is denied$/,
  );
  double.intercept = (_request, response) => {
    response.setHeader('www-authenticate', 'Basic realm="x"');
    sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
    return true;
  };
  const nobody = await client.openRepository(
    { registry: double.host, repository: 'team/app' },
    { credentials: anonymous, access: 'pull' },
  );
  await assert.rejects(nobody.fetchManifest('v1'), /no basic auth credentials/);
});

test('a login is checked afresh each time', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  const right = `Basic ${Buffer.from('user:secret').toString('base64')}`;
  double.intercept = (request, response) => {
    if (request.headers.authorization === right) return false;
    response.setHeader('www-authenticate', 'Basic realm="x"');
    sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
    return true;
  };
  assert.deepEqual(await client.checkLogin(double.host, SECRET), { status: 'Login Succeeded' });
  await assert.rejects(
    client.checkLogin(double.host, { username: 'user', password: 'no' }),
    (error: unknown) => {
      assert.ok(error instanceof CodedError);
      assert.equal(error.code, 'unauthenticated');
      assert.equal(
        error.message,
        `Get "http://${double.host}/v2/": unauthorized: incorrect username or password`,
      );
      return true;
    },
  );
});

test('a closed port is told with its address, as Docker tells it', async () => {
  await using client = clientOf();
  const double = await startRegistryDouble();
  await double[Symbol.asyncDispose]();
  await assert.rejects(
    openDouble(client, double.host),
    (error: Error) =>
      error.message ===
        `Get "http://${double.host}/v2/": dial tcp ${double.host}: connect: connection refused` ||
      error.message ===
        `Get "https://${double.host}/v2/": dial tcp ${double.host}: connect: connection refused`,
  );
});

test('a mirror is asked first, without the credentials of the registry, and the registry when it fails', async () => {
  await using double = await startRegistryDouble();
  await using mirror = await startRegistryDouble();
  const mirrors = { [double.host]: [`http://${mirror.host}`] };
  await using client = clientOf({ ...FAST, mirrors });
  const { digest } = addManifest(mirror);
  addManifest(double, 'v2');
  for (const host of [mirror, double]) {
    host.intercept = (request, response) => {
      if (request.headers.authorization !== undefined || host === mirror) return false;
      response.setHeader('www-authenticate', 'Basic realm="x"');
      sendError(response, 401, 'UNAUTHORIZED', 'authentication required');
      return true;
    };
  }
  const repository = await openDouble(client, double.host);
  assert.equal((await repository.resolveManifest('v1')).digest, digest);
  assert.equal(double.seen.length, 0);
  assert.equal((await repository.resolveManifest('v2')).digest, digest);
  assert.ok(mirror.seen.every(({ authorization }) => authorization === undefined));
  assert.ok(double.seen.some(({ authorization }) => authorization !== undefined));
});

test('an abort ends a request and rejects with its own reason', async () => {
  await using double = await startRegistryDouble();
  await using client = clientOf();
  double.intercept = (request) => request.url?.includes('/manifests/') ?? false;
  const repository = await openDouble(client, double.host);
  const reason = new Error('enough');
  const controller = new AbortController();
  const pending = repository.fetchManifest('v1', controller.signal);
  setTimeout(() => controller.abort(reason), 20);
  await assert.rejects(pending, (error) => error === reason);
});
