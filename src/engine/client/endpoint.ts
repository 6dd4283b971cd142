import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';

/** Where an engine listens. */
export type EngineEndpoint =
  | { readonly kind: 'unix'; readonly path: string; readonly text: string }
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly tls: EngineTls | undefined;
      readonly text: string;
    };

/** Certificates for mutual TLS; `verify` false takes any certificate of the engine. */
export interface EngineTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly verify: boolean;
}

/**
 * Reads `unix:///run/x.sock`, `tcp://host:port` or a bare `host:port`.
 * @throws {CodedError} `invalid_argument`; `unimplemented` for ssh:// and other schemes.
 */
export function parseEndpoint(text: string, tls?: EngineTls): EngineEndpoint {
  if (text.startsWith('unix://')) {
    const path = text.slice('unix://'.length);
    if (path === '') throw new CodedError('invalid_argument', `unable to parse docker host "${text}"`);
    return { kind: 'unix', path, text };
  }
  const match = /^(?:(tcp|http|https):\/\/)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(?::(\d+))?\/?$/.exec(text);
  if (match?.[2] === undefined) {
    const scheme = /^([a-z]+):\/\//.exec(text)?.[1];
    if (scheme !== undefined && !['tcp', 'http', 'https'].includes(scheme))
      throw new CodedError(
        'unimplemented',
        `cannot connect to "${text}": ${scheme}:// is not supported by this client`,
      );
    throw new CodedError('invalid_argument', `unable to parse docker host "${text}"`);
  }
  const secure = match[1] === 'https' ? (tls ?? { verify: true }) : tls;
  const port = match[3] === undefined ? (secure === undefined ? 2375 : 2376) : Number(match[3]);
  return { kind: 'tcp', host: match[2].replace(/^\[|\]$/g, ''), port, tls: secure, text };
}

/** Certificates of a folder as Docker lays them out: `ca.pem`, `cert.pem`, `key.pem`. */
export function readTlsFolder(folder: string, verify: boolean): EngineTls {
  const read = (name: string): string | undefined => {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch {
      return undefined; // each of the three is optional
    }
  };
  const [ca, cert, key] = ['ca.pem', 'cert.pem', 'key.pem'].map(read);
  return { ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}), verify };
}
