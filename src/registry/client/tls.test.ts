import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { anonymous } from '../../../test/support/registry-double.ts';
import { createRegistryClient } from './index.ts';
import type { RegistryClientOptions } from './types.ts';

/** An address of this machine that is not loopback: loopback registries need no certificate. */
const OWN_ADDRESS = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
const skip =
  OWN_ADDRESS === undefined
    ? 'this machine has only a loopback address'
    : spawnSync('openssl', ['version']).status === 0
      ? false
      : 'openssl is not installed';

interface TlsBench {
  readonly host: string;
  readonly dir: string;
  open(options: RegistryClientOptions): Promise<string>;
}

async function withTlsRegistry(
  options: { readonly wantsClient: boolean },
  body: (bench: TlsBench) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-tls-'));
  const ssl = (...words: string[]): void => void execFileSync('openssl', words, { cwd: dir, stdio: 'pipe' });
  const subject = ['-subj', `/CN=${OWN_ADDRESS}`, '-addext', `subjectAltName=IP:${OWN_ADDRESS}`];
  ssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    'key.pem',
    '-out',
    'cert.pem',
    '-days',
    '2',
    ...subject,
  );
  const pem = (name: string): string => readFileSync(join(dir, name), 'utf8');
  const client = options.wantsClient
    ? { requestCert: true, rejectUnauthorized: true, ca: pem('cert.pem') }
    : {};
  const server = createServer(
    { key: pem('key.pem'), cert: pem('cert.pem'), ...client },
    (request, response) => {
      response.end(request.url === '/v2/' ? '{}' : '');
    },
  );
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, OWN_ADDRESS, resolve));
  const host = `${OWN_ADDRESS}:${(server.address() as AddressInfo).port}`;
  try {
    await body({
      host,
      dir,
      async open(clientOptions) {
        const made = createRegistryClient(clientOptions);
        try {
          const name = { registry: host, repository: 'a' };
          return (await made.openRepository(name, { credentials: anonymous, access: 'pull' })).origin;
        } finally {
          await made.close();
        }
      },
    });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true, force: true });
  }
}

test(
  'a certificate nobody signed is refused, unless its root is in certs.d or the host is listed as insecure',
  { skip },
  () =>
    withTlsRegistry({ wantsClient: false }, async ({ host, dir, open }) => {
      await assert.rejects(open({}), {
        message: `Get "https://${host}/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
      });
      mkdirSync(join(dir, 'certs.d', host), { recursive: true });
      copyFileSync(join(dir, 'cert.pem'), join(dir, 'certs.d', host, 'ca.crt'));
      assert.equal(await open({ certsDirs: [join(dir, 'absent'), join(dir, 'certs.d')] }), `https://${host}`);
      assert.equal(await open({ insecureRegistries: [host] }), `https://${host}`);
      assert.equal(await open({ insecureRegistries: [`${OWN_ADDRESS}/32`] }), `https://${host}`);
    }),
);

test('a client certificate from certs.d is shown, and one without its key is an error', { skip }, () =>
  withTlsRegistry({ wantsClient: true }, async ({ host, dir, open }) => {
    const folder = join(dir, 'certs.d', host);
    mkdirSync(folder, { recursive: true });
    copyFileSync(join(dir, 'cert.pem'), join(folder, 'ca.crt'));
    const certsDirs = [join(dir, 'certs.d')];
    await assert.rejects(open({ certsDirs }));
    copyFileSync(join(dir, 'cert.pem'), join(folder, 'client.cert'));
    await assert.rejects(open({ certsDirs }), /missing key client\.key for client certificate client\.cert/);
    copyFileSync(join(dir, 'key.pem'), join(folder, 'client.key'));
    assert.equal(await open({ certsDirs }), `https://${host}`);
  }),
);

test('a proxy carries TLS through a tunnel and plain HTTP itself; excluded hosts go straight', { skip }, () =>
  withTlsRegistry({ wantsClient: false }, async ({ host, open }) => {
    const asked: string[] = [];
    const plain = createHttpServer((_request, response) => response.end('{}'));
    const proxy = createHttpServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end('{}');
    });
    proxy.on('connect', (request, socket, head) => {
      asked.push(`CONNECT ${request.url}`);
      const [name = '', port] = (request.url ?? '').split(':');
      const target = connect(Number(port), name, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        target.write(head);
        target.pipe(socket).pipe(target);
      });
      for (const end of [target, socket]) end.on('error', () => end.destroy());
    });
    const listen = async (server: typeof plain, address: string): Promise<number> => {
      await new Promise<void>((resolve) => server.listen(0, address, resolve));
      return (server.address() as AddressInfo).port;
    };
    const url = `http://127.0.0.1:${await listen(proxy, '127.0.0.1')}`;
    const bare = `${OWN_ADDRESS}:${await listen(plain, OWN_ADDRESS ?? '')}`;
    try {
      const proxied = { insecureRegistries: [host, bare], proxy: { http: url, https: url } };
      assert.equal(await open(proxied), `https://${host}`);
      assert.deepEqual(asked, [`CONNECT ${host}`]);
      const client = createRegistryClient(proxied);
      const name = { registry: bare, repository: 'a' };
      assert.equal(
        (await client.openRepository(name, { credentials: anonymous, access: 'pull' })).origin,
        `http://${bare}`,
      );
      await client.close();
      assert.equal(asked.at(-1), `GET http://${bare}/v2/`);
      asked.length = 0;
      await open({ ...proxied, proxy: { ...proxied.proxy, no: [OWN_ADDRESS ?? ''] } });
      assert.deepEqual(asked, []);
    } finally {
      for (const server of [proxy, plain]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    }
  }),
);
