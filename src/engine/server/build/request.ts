/** The parameters of `POST /build` to a build request. */
import { CodedError } from '#base/errors/index.ts';
import type { BuildRequest, ContextSource } from '#build/types.ts';
import { hostPlatform, parsePlatform } from '#oci/platform/index.ts';
import { formatCanonical, parseReference, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import { credentialsFrom, decodeRegistryConfig } from '#registry/auth/index.ts';
import type { ResourceLimits } from '#runtime/process/types.ts';
import type { Query, RequestContext } from '../core/index.ts';

const SESSION_REMOTE = 'client-session';
const MIN_MEMORY_BYTES = 6 * 1024 * 1024;

/** Reads the request. @throws {CodedError} `invalid_argument` with Docker's texts, `unimplemented`. */
export function readBuildRequest(context: RequestContext): BuildRequest {
  const { query } = context;
  const platform = query.get('platform');
  const target = query.get('target');
  if (query.get('outputs')) throw unimplemented('build outputs (-o) are not supported yet');
  if (query.all('securityopt').some((option) => option !== ''))
    throw new CodedError('invalid_argument', 'security options are not supported on linux');
  const isolation = query.get('isolation') ?? '';
  if (!['', 'default'].includes(isolation))
    throw new CodedError('invalid_argument', `unsupported isolation: "${isolation}"`);
  return {
    context: sourceOf(context),
    dockerfile: query.get('dockerfile') || 'Dockerfile',
    tags: readTags(query.all('t')),
    buildArgs: readBuildArgs(query),
    labels: readStrings(query, 'labels'),
    ...(target ? { target } : {}),
    ...(platform ? { platform: parsePlatform(platform, hostPlatform()) } : {}),
    noCache: query.flag('nocache'),
    pull: query.flag('pull'),
    cacheFrom: readList(query, 'cachefrom'),
    network: networkOf(query.get('networkmode') ?? ''),
    extraHosts: readExtraHosts(query),
    limits: readLimits(query),
    removeIntermediate: query.flag('rm', true),
    forceRemove: query.flag('forcerm'),
    quiet: query.flag('q'),
    squash: query.flag('squash'),
    credentials: credentialsFrom(decodeRegistryConfig(context.header('x-registry-config'))),
    signal: context.signal,
  };
}

function sourceOf(context: RequestContext): ContextSource {
  const remote = context.query.get('remote') ?? '';
  if (remote === SESSION_REMOTE) {
    throw unimplemented('builds over a BuildKit session are not supported yet', {
      id: 'build/session',
      cause: 'the client asked for BuildKit, whose API this engine does not have yet',
      fix: ['DOCKER_BUILDKIT=0 docker build …'],
    });
  }
  return remote === '' ? { kind: 'tar', stream: context.body } : { kind: 'remote', url: remote };
}

function readTags(texts: readonly string[]): readonly Reference[] {
  const tags = new Map<string, Reference>();
  for (const text of texts) {
    if (text === '') continue;
    const reference = withDefaultTag(parseReference(text));
    if (reference.digest !== undefined)
      throw new CodedError('invalid_argument', 'build tag cannot contain a digest');
    tags.set(formatCanonical(reference), reference);
  }
  return [...tags.values()];
}

function readBuildArgs(query: Query): Readonly<Record<string, string | null>> {
  const value = readObject(query, 'buildargs');
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry !== 'string' && entry !== null)
      throw new CodedError('invalid_argument', `invalid value of build arg "${key}": it must be text`);
  }
  return value as Record<string, string | null>;
}

function readStrings(query: Query, name: string): Readonly<Record<string, string>> {
  const value = readObject(query, name);
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry !== 'string')
      throw new CodedError('invalid_argument', `invalid value of "${key}" in "${name}": it must be text`);
  }
  return value as Record<string, string>;
}

function readObject(query: Query, name: string): Record<string, unknown> {
  const value = query.json(name) ?? {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw new CodedError('invalid_argument', `invalid value of "${name}": it must be a JSON object`);
  return value as Record<string, unknown>;
}

function readList(query: Query, name: string): readonly string[] {
  const value = query.json(name) ?? [];
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== 'string'))
    throw new CodedError('invalid_argument', `invalid value of "${name}": it must be a JSON list of text`);
  return value as string[];
}

/** The CLI repeats the key; dockerode sends JSON or commas. */
function readExtraHosts(query: Query): readonly string[] {
  const hosts = query.all('extrahosts').flatMap((text) => {
    if (!text.startsWith('[')) return text.split(',');
    return readList({ ...query, json: () => JSON.parse(text) as unknown }, 'extrahosts');
  });
  const given = hosts.filter((host) => host !== '');
  const wrong = given.find((host) => !/^[^\s:=]+[:=]\S+$/.test(host));
  if (wrong !== undefined)
    throw new CodedError('invalid_argument', `invalid IP address in add-host: "${wrong}"`);
  return given;
}

function networkOf(mode: string): BuildRequest['network'] {
  if (mode === '' || mode === 'default' || mode === 'bridge') return 'default';
  if (mode === 'host' || mode === 'none') return mode;
  throw unimplemented(`network mode "${mode}" not supported for builds`, {
    id: 'build/network',
    cause: 'build steps run on the default network, the host network, or none',
    fix: ['build with --network default, host or none'],
  });
}

function readLimits(query: Query): ResourceLimits {
  const number = (name: string): number | undefined => {
    const value = query.integer(name);
    return value === undefined || value === 0 ? undefined : value;
  };
  const memory = number('memory');
  if (memory !== undefined && memory > 0 && memory < MIN_MEMORY_BYTES)
    throw new CodedError('invalid_argument', 'Minimum memory limit allowed is 6MB');
  const fields = {
    memoryBytes: memory,
    memorySwapBytes: number('memswap'),
    cpuShares: number('cpushares'),
    cpuPeriod: number('cpuperiod'),
    cpuQuota: number('cpuquota'),
    cpusetCpus: query.get('cpusetcpus') || undefined,
    cpusetMems: query.get('cpusetmems') || undefined,
    shmSizeBytes: number('shmsize'),
    cgroupParent: query.get('cgroupparent') || undefined,
    ulimits: readUlimits(query),
  };
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as ResourceLimits;
}

function readUlimits(query: Query): ResourceLimits['ulimits'] {
  const value = query.json('ulimits');
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw new CodedError('invalid_argument', 'error reading ulimit settings');
  const limits = value.map((entry: unknown) => {
    const { Name, Soft, Hard } = (entry ?? {}) as Record<string, unknown>;
    if (typeof Name !== 'string' || typeof Soft !== 'number' || typeof Hard !== 'number')
      throw new CodedError('invalid_argument', 'error reading ulimit settings');
    return { name: Name, soft: Soft, hard: Hard };
  });
  return limits.length === 0 ? undefined : limits;
}

function unimplemented(message: string, help?: CodedError['help']): CodedError {
  return new CodedError('unimplemented', message, { help });
}
