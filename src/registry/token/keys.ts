/**
 * The keys that sign tokens. They live in one file of ours and come from nowhere else: a token can only name one.
 *
 *     <root>/token-keys.json   {"keys": [{"kid", "kty": "OKP", "crv": "Ed25519", "x", "d"}]}   the last one signs, all verify
 */
import { randomBytes } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from 'jose';
import { CodedError, isSystemError, messageOf } from '#base/errors/index.ts';

/** Algorithm of every token; a header that says otherwise is refused. */
export const TOKEN_ALGORITHM = 'EdDSA';

/** Keys by id. */
export interface TokenKeys {
  readonly signing: { readonly kid: string; readonly key: CryptoKey };
  find(kid: string): CryptoKey | undefined;
}

/**
 * Reads the keys of a hub, making the first one when there is no file.
 * @throws {CodedError} `data_loss` when the file cannot be understood.
 */
export async function loadTokenKeys(path: string): Promise<TokenKeys> {
  const jwks = (await readKeys(path)) ?? (await createKeys(path));
  const publicKeys = new Map<string, CryptoKey>();
  for (const jwk of jwks) {
    const { d: _, ...publicPart } = jwk;
    publicKeys.set(jwk.kid ?? '', (await importJWK(publicPart, TOKEN_ALGORITHM)) as CryptoKey);
  }
  const last = jwks.at(-1);
  if (last?.kid === undefined) throw new CodedError('data_loss', `"${path}" holds no token key`);
  const key = (await importJWK(last, TOKEN_ALGORITHM)) as CryptoKey;
  return { signing: { kid: last.kid, key }, find: (kid) => publicKeys.get(kid) };
}

async function readKeys(path: string): Promise<readonly JWK[] | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    return (JSON.parse(text) as { readonly keys: readonly JWK[] }).keys;
  } catch (error) {
    throw new CodedError('data_loss', `cannot read token keys "${path}": ${messageOf(error)}`);
  }
}

async function createKeys(path: string): Promise<readonly JWK[]> {
  const { privateKey } = await generateKeyPair(TOKEN_ALGORITHM, { crv: 'Ed25519', extractable: true });
  const jwk = await exportJWK(privateKey);
  const keys = [{ ...jwk, kid: await calculateJwkThumbprint(jwk) }];
  const temporary = `${path}.${randomBytes(4).toString('hex')}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ keys })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dirname(path), 'r');
  await folder.sync().finally(() => folder.close());
  return keys;
}
