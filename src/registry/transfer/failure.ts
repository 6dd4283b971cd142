/** What Docker says when a pull or push fails, and what a person needs to know beside it. */
import { CodedError, type ErrorHelp, messageOf } from '#base/errors/index.ts';
import { familiarName, formatFamiliar, type Reference } from '#oci/reference/index.ts';
import { RegistryResponseError } from '#registry/client/index.ts';
import type { RepositoryClient } from '#registry/client/types.ts';

const MAX_NEAREST_TAGS = 5;
const MAX_TAGS_READ = 2000;

/** A pull's failure in Docker's words; looks up the tags that exist when the tag does not. */
export async function pullFailure(
  error: unknown,
  reference: Reference,
  repository: RepositoryClient | undefined,
): Promise<unknown> {
  const name = familiarName(reference);
  if (!(error instanceof CodedError)) return error;
  if (!(error instanceof RegistryResponseError)) return error;
  const options = { cause: error, data: { ...error.data, registryCode: error.registryCode } };
  const subject = { kind: 'image', name: formatFamiliar(reference) };
  if (error.registryCode === 'DENIED' || (error.status === 403 && error.code === 'permission_denied')) {
    return new CodedError(
      'not_found',
      `pull access denied for ${name}, repository does not exist or may require 'docker login': ${error.message}`,
      { ...options, subject, help: deniedHelp(reference, repository) },
    );
  }
  if (error.registryCode === 'MANIFEST_UNKNOWN') {
    return new CodedError(
      'not_found',
      `manifest for ${formatFamiliar(reference)} not found: ${error.message}`,
      {
        ...options,
        subject,
        help: await unknownTagHelp(reference, repository),
      },
    );
  }
  if (error.registryCode === 'NAME_UNKNOWN') {
    return new CodedError('not_found', `repository ${name} not found: ${error.message}`, {
      ...options,
      subject,
      help: noSuchRepository(reference),
    });
  }
  if (error.registryCode === 'UNAUTHORIZED')
    return new CodedError('unauthenticated', error.message, {
      ...options,
      subject,
      help: loginHelp(reference, repository),
    });
  if (error.code === 'resource_exhausted')
    return new CodedError('resource_exhausted', error.message, {
      ...options,
      subject,
      help: rateLimitHelp(error, reference, repository),
    });
  return error;
}

/** A push's failure in Docker's words; "denied" is told apart by what we know. */
export function pushFailure(
  error: unknown,
  reference: Reference,
  repository: RepositoryClient | undefined,
): unknown {
  if (!(error instanceof RegistryResponseError)) return error;
  const subject = { kind: 'image', name: formatFamiliar(reference) };
  const options = { cause: error, subject, data: { ...error.data, registryCode: error.registryCode } };
  if (error.status === 401 || error.status === 403) {
    // The bare "unauthorized" of a push is Docker's "denied" once somebody is signed in.
    return new CodedError(error.code, error.message, {
      ...options,
      help: pushDeniedHelp(reference, repository),
    });
  }
  return error;
}

function noSuchRepository({ registry, repository }: Reference): ErrorHelp {
  return {
    id: 'pull/no-such-repo',
    cause: `${registry} has no repository ${repository}`,
    fix: ['check the spelling of the name'],
  };
}

function loginCommand(reference: Reference): string {
  return reference.registry === 'docker.io' ? 'slipway login' : `slipway login ${reference.registry}`;
}

function loginHelp(reference: Reference, repository: RepositoryClient | undefined): ErrorHelp {
  const access = repository?.access;
  if (access?.withheld) return { id: 'auth/foreign-realm', cause: access.withheld };
  return access?.authenticated
    ? {
        id: 'auth/refused',
        cause: `${reference.registry} does not accept the credentials stored for ${access.username || 'it'}`,
        fix: [loginCommand(reference)],
      }
    : {
        id: 'auth/none-for-host',
        cause: `no credentials are stored for ${reference.registry}`,
        fix: [loginCommand(reference)],
      };
}

function deniedHelp(reference: Reference, repository: RepositoryClient | undefined): ErrorHelp {
  const access = repository?.access;
  if (access?.withheld) return { id: 'auth/foreign-realm', cause: access.withheld };
  if (access?.authenticated) {
    return {
      id: 'pull/forbidden',
      cause: `${reference.registry} has no repository ${reference.repository} that ${access.username || 'this login'} may read`,
      fix: ['check the spelling, or ask its owner for access'],
    };
  }
  return {
    id: 'pull/no-such-repo',
    cause: `there is no public repository ${reference.repository} on ${reference.registry}, and nobody is signed in there`,
    fix: [loginCommand(reference)],
  };
}

function rateLimitHelp(
  error: RegistryResponseError,
  reference: Reference,
  repository: RepositoryClient | undefined,
): ErrorHelp {
  const minutes = error.retryAfterMs === undefined ? undefined : Math.ceil(error.retryAfterMs / 60_000);
  const who = repository?.access.authenticated ? repository.access.username || 'this login' : 'this address';
  return {
    id: 'pull/rate-limit',
    cause: `${reference.registry} limits how much ${who} may pull${minutes === undefined ? '' : `; it opens again in ${minutes} min`}`,
    ...(repository?.access.authenticated ? {} : { fix: [loginCommand(reference)] }),
  };
}

function pushDeniedHelp(reference: Reference, repository: RepositoryClient | undefined): ErrorHelp {
  const access = repository?.access;
  if (access?.withheld) return { id: 'auth/foreign-realm', cause: access.withheld };
  if (!access?.authenticated) {
    return {
      id: 'push/not-logged-in',
      cause: `no credentials are stored for ${reference.registry}`,
      fix: [loginCommand(reference)],
    };
  }
  const namespace = reference.repository.split('/')[0] ?? '';
  const { username } = access;
  if (username && namespace !== username) {
    const own = { ...reference, repository: `${username}/${reference.repository.split('/').at(-1)}` };
    const to = formatFamiliar(own);
    return {
      id: 'push/not-your-namespace',
      cause: `signed in as ${username}, pushing to ${namespace}/`,
      fix: [`slipway tag ${formatFamiliar(reference)} ${to} && slipway push ${to}`],
    };
  }
  return {
    id: 'push/read-only-token',
    cause: `signed in${username ? ` as ${username}` : ''}, but this login may not write to ${reference.repository}`,
    fix: ['sign in with an access token that may read and write, or create the repository first'],
  };
}

async function unknownTagHelp(
  reference: Reference,
  repository: RepositoryClient | undefined,
): Promise<ErrorHelp> {
  const name = familiarName(reference);
  const tags: string[] = [];
  try {
    for await (const tag of repository?.listTags(AbortSignal.timeout(5000)) ?? []) {
      tags.push(tag);
      if (tags.length >= MAX_TAGS_READ) break;
    }
  } catch (error) {
    if (error instanceof RegistryResponseError && error.registryCode === 'NAME_UNKNOWN')
      return noSuchRepository(reference);
    return { id: 'pull/no-such-tag', cause: `its tags cannot be listed either: ${messageOf(error)}` };
  }
  const wanted = reference.tag ?? reference.digest ?? '';
  const nearest = nearestTags(wanted, tags);
  const count = `${tags.length}${tags.length >= MAX_TAGS_READ ? ' or more' : ''} tag${tags.length === 1 ? '' : 's'}`;
  const [first] = nearest;
  return {
    id: reference.digest ? 'pull/no-such-digest' : 'pull/no-such-tag',
    cause: `${name} has ${count}${nearest.length > 0 ? `; nearest: ${nearest.join(', ')}` : ''}`,
    ...(first === undefined ? {} : { fix: [`slipway pull ${name}:${first}`] }),
  };
}

/** The tags most like `wanted`, best first. */
export function nearestTags(wanted: string, tags: readonly string[]): readonly string[] {
  return tags
    .map((tag) => ({ tag, distance: distanceOf(wanted, tag) }))
    .sort((a, b) => a.distance - b.distance || a.tag.length - b.tag.length || (a.tag < b.tag ? -1 : 1))
    .slice(0, MAX_NEAREST_TAGS)
    .map(({ tag }) => tag);
}

/** Edit distance of the first 64 characters; a common beginning counts for more than the end. */
function distanceOf(a: string, b: string): number {
  const [x, y] = [a.slice(0, 64), b.slice(0, 64)];
  let row = Array.from({ length: y.length + 1 }, (_, i) => i);
  for (let i = 1; i <= x.length; i++) {
    const next = [i];
    for (let j = 1; j <= y.length; j++) {
      const change = (row[j - 1] ?? 0) + (x[i - 1] === y[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  let common = 0;
  while (common < x.length && x[common] === y[common]) common++;
  return (row[y.length] ?? 0) - common / 2;
}
