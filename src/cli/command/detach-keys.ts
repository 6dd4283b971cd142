import { CodedError } from '#base/errors/index.ts';

const DEFAULT = 'ctrl-p,ctrl-q';

/** The bytes of `ctrl-p,ctrl-q` or `ctrl-a,a`. @throws {CodedError} `invalid_argument`. */
export function parseDetachKeys(text: string | undefined): Uint8Array {
  const keys = (text || DEFAULT).split(',').map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1];
    if (control === undefined)
      throw new CodedError(
        'invalid_argument',
        `Unknown character: '${key}' in detach keys ${JSON.stringify(text)}`,
      );
    return control.toUpperCase().charCodeAt(0) - 64;
  });
  return Uint8Array.from(keys);
}
