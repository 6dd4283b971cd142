import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};

/** Nothing from another host, no inline script. Styles: the component library writes style attributes. */
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'x-frame-options': 'DENY',
} as const;

interface Asset {
  readonly type: string;
  readonly bytes: Buffer;
  readonly gzip: Buffer | undefined;
  readonly etag: string;
  readonly isImmutable: boolean;
}

/**
 * Serves the built page from memory. Unknown paths get the entry document, whose script shows the view (or a 404 of its own).
 * Returns `undefined` when the page has not been built.
 */
export function createPage(
  dir: string,
): ((request: IncomingMessage, response: ServerResponse) => void) | undefined {
  const assets = loadAssets(dir);
  const entry = assets.get('/index.html');
  if (entry === undefined) return undefined;
  return (request, response) => {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    const asset = assets.get(path) ?? (path.startsWith('/assets/') ? undefined : entry);
    send(request, response, asset);
  };
}

function send(request: IncomingMessage, response: ServerResponse, asset: Asset | undefined): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD', ...SECURITY_HEADERS }).end();
    return;
  }
  if (asset === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain', ...SECURITY_HEADERS }).end('not found\n');
    return;
  }
  const headers = {
    ...SECURITY_HEADERS,
    etag: asset.etag,
    vary: 'accept-encoding',
    'cache-control': asset.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache',
  };
  if (request.headers['if-none-match'] === asset.etag) {
    response.writeHead(304, headers).end();
    return;
  }
  const acceptsGzip = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  const body = acceptsGzip && asset.gzip !== undefined ? asset.gzip : asset.bytes;
  const encoding = body === asset.gzip ? { 'content-encoding': 'gzip' } : {};
  response.writeHead(200, {
    ...headers,
    ...encoding,
    'content-type': asset.type,
    'content-length': body.length,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function loadAssets(dir: string): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>();
  for (const path of listFiles(dir)) {
    const bytes = readFileSync(path);
    const type = TYPES[extname(path)] ?? 'application/octet-stream';
    const isText = /text|javascript|json|svg/.test(type);
    assets.set(`/${relative(dir, path)}`, {
      type,
      bytes,
      gzip: isText ? gzipSync(bytes, { level: 9 }) : undefined,
      etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
      isImmutable: path.includes('/assets/'),
    });
  }
  return assets;
}

function listFiles(dir: string): string[] {
  try {
    return readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [];
  }
}
