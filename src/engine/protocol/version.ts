/** The versions of the Engine API that we serve, and how one is refused. */
import { CodedError } from '#base/errors/index.ts';

/** Newest version we serve: what `Api-Version` announces. */
export const API_VERSION = '1.47';
/** Oldest version we serve. */
export const MIN_API_VERSION = '1.24';

/** Debian's skopeo asks for this one whatever is announced, and uses only what 1.24 has. */
const PINNED_BY_SKOPEO = '1.22';

/** A version such as 1.47. */
export interface ApiVersion {
  readonly major: number;
  readonly minor: number;
}

/** Reads the number part of a `/vX.Y` prefix; the grammar is the caller's. */
export function parseApiVersion(text: string): ApiVersion {
  const [major = '', minor = ''] = text.split('.');
  return { major: Number(major), minor: Number(minor) };
}

/** Negative, zero or positive as `a` is older than, the same as or newer than `b`. */
export function compareApiVersions(a: ApiVersion, b: ApiVersion): number {
  return a.major - b.major || a.minor - b.minor;
}

/**
 * The version of a request prefix.
 * @throws {CodedError} `invalid_argument` with Docker's text when we do not serve it.
 */
export function checkApiVersion(text: string): ApiVersion {
  const asked = parseApiVersion(text === PINNED_BY_SKOPEO ? MIN_API_VERSION : text);
  if (compareApiVersions(asked, parseApiVersion(MIN_API_VERSION)) < 0) {
    throw new CodedError(
      'invalid_argument',
      `client version ${text} is too old. Minimum supported API version is ${MIN_API_VERSION}, please upgrade your client to a newer version`,
    );
  }
  if (compareApiVersions(asked, parseApiVersion(API_VERSION)) > 0) {
    throw new CodedError(
      'invalid_argument',
      `client version ${text} is too new. Maximum supported API version is ${API_VERSION}`,
      { help: { id: 'api/version', fix: [`export DOCKER_API_VERSION=${API_VERSION}`] } },
    );
  }
  return asked;
}
