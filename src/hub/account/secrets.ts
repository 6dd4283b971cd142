/** Password hashes (argon2id) and random secrets. */
import { argon2, createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { CodedError } from '#base/errors/index.ts';

/** OWASP's smallest recommended cost: 19 MiB, two passes, about 40 ms. */
const COST = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 } as const;
/** A hash nobody has the password of: what an unknown name is checked against, so that it takes as long. */
const NOBODY = `argon2id$${COST.memory}$${COST.passes}$${'A'.repeat(22)}==$${'A'.repeat(43)}=`;

/** `argon2id$memory$passes$salt$hash`, salt and hash in base64. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, salt, COST.memory, COST.passes);
  return ['argon2id', COST.memory, COST.passes, salt.toString('base64'), hash.toString('base64')].join('$');
}

/** Whether `password` is the one behind `stored`; `undefined` is nobody's and costs the same. */
export async function checkPassword(password: string, stored: string | undefined): Promise<boolean> {
  const [, memory, passes, salt = '', hash = ''] = (stored ?? NOBODY).split('$');
  const expected = Buffer.from(hash, 'base64');
  const actual = await derive(password, Buffer.from(salt, 'base64'), Number(memory), Number(passes));
  return expected.length === actual.length && timingSafeEqual(expected, actual) && stored !== undefined;
}

/** A fresh secret of 256 bits with a prefix that tells people (and scanners) what it is. */
export function newSecret(prefix: string): string {
  return `${prefix}${randomBytes(32).toString('base64url')}`;
}

/** The form in which a random secret is stored. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function derive(password: string, nonce: Buffer, memory: number, passes: number): Promise<Buffer> {
  const options = {
    message: password,
    nonce,
    memory,
    passes,
    parallelism: COST.parallelism,
    tagLength: COST.tagLength,
  };
  return new Promise((resolve, reject) => {
    argon2('argon2id', options, (error, key) => {
      if (error === null) resolve(key);
      else reject(new CodedError('internal', 'cannot derive a password hash', { cause: error }));
    });
  });
}
