/**
 * Which engine a command talks to, first match wins:
 *
 *     1  -H, --host
 *     2  --context NAME
 *     3  SLIPWAY_HOST, then DOCKER_HOST        (DOCKER_TLS_VERIFY and DOCKER_CERT_PATH as in Docker)
 *     4  DOCKER_CONTEXT, then currentContext of config.json, unless it is "default"
 *     5  unix:///var/run/slipway/slipway.sock  when it is there
 *     6  the socket of `slipway up` under $XDG_RUNTIME_DIR or the home directory, when it is there
 *     7  unix:///var/run/docker.sock           when it is there and ours is not
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { type EngineEndpoint, type EngineTls, parseEndpoint, readTlsFolder } from '#engine/client/index.ts';
import type { DockerConfig } from '#registry/auth/index.ts';

/** Our own socket when the engine runs as root. */
export const SLIPWAY_SOCKET = '/var/run/slipway/slipway.sock';
/** Docker's socket. */
export const DOCKER_SOCKET = '/var/run/docker.sock';

/** The engine chosen, and what chose it. */
export interface EngineChoice {
  readonly endpoint: EngineEndpoint;
  readonly because: string;
}

/** `--tls*`: files of certificates, and whether the engine's is checked. */
export interface TlsFlags {
  readonly verify: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What the choice is made from. */
export interface ChoiceFacts {
  readonly host?: string;
  readonly context?: string;
  readonly tls?: TlsFlags;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  readonly configPath: string;
  readonly config: () => Promise<DockerConfig>;
}

/** Chooses the engine. @throws {CodedError} `invalid_argument` for an unknown context or a bad host. */
export async function chooseEngine(facts: ChoiceFacts): Promise<EngineChoice> {
  const { environment } = facts;
  if (facts.host) return { endpoint: parseEndpoint(facts.host, tlsOf(facts)), because: '-H' };
  if (facts.context) return contextEndpoint(facts, facts.context, '--context');
  for (const name of ['SLIPWAY_HOST', 'DOCKER_HOST']) {
    const host = environment[name];
    if (host) return { endpoint: parseEndpoint(host, tlsOf(facts)), because: name };
  }
  const named = environment['DOCKER_CONTEXT'];
  if (named) return contextEndpoint(facts, named, 'DOCKER_CONTEXT');
  const candidates = defaultSockets(facts);
  const ours = candidates.find((path) => existsSync(path));
  const current = existsSync(facts.configPath) ? (await facts.config()).currentContext : undefined;
  if (current && current !== 'default') return contextEndpoint(facts, current, 'the current context');
  return { endpoint: parseEndpoint(`unix://${ours ?? SLIPWAY_SOCKET}`), because: 'default' };
}

/** Sockets that are looked at when nothing was said. */
export function defaultSockets(facts: Pick<ChoiceFacts, 'environment' | 'homeDir'>): readonly string[] {
  const runtimeDir = facts.environment['XDG_RUNTIME_DIR'];
  return [
    SLIPWAY_SOCKET,
    ...(runtimeDir ? [join(runtimeDir, 'slipway', 'slipway.sock')] : []),
    join(facts.homeDir, '.slipway', 'slipway.sock'),
    DOCKER_SOCKET,
  ];
}

function tlsOf({ environment, homeDir, tls }: ChoiceFacts): EngineTls | undefined {
  if (tls !== undefined) {
    const folder = readTlsFolder(environment['DOCKER_CERT_PATH'] || join(homeDir, '.docker'), tls.verify);
    const read = (path: string): string => readFileSync(path, 'utf8');
    return {
      ...folder,
      ...(tls.ca ? { ca: read(tls.ca) } : {}),
      ...(tls.cert ? { cert: read(tls.cert) } : {}),
      ...(tls.key ? { key: read(tls.key) } : {}),
    };
  }
  const verify = Boolean(environment['DOCKER_TLS_VERIFY']);
  const folder = environment['DOCKER_CERT_PATH'];
  if (!verify && !environment['DOCKER_TLS']) return undefined;
  return readTlsFolder(folder || join(homeDir, '.docker'), verify);
}

/** Docker keeps a context under the sha256 of its name. */
async function contextEndpoint(facts: ChoiceFacts, name: string, because: string): Promise<EngineChoice> {
  if (name === 'default') return { endpoint: parseEndpoint(`unix://${DOCKER_SOCKET}`), because };
  const { createHash } = await import('node:crypto');
  const id = createHash('sha256').update(name).digest('hex');
  const folder = join(dirname(facts.configPath), 'contexts');
  let text: string;
  try {
    text = readFileSync(join(folder, 'meta', id, 'meta.json'), 'utf8');
  } catch (error) {
    throw new CodedError('invalid_argument', `context ${JSON.stringify(name)}: context not found`, {
      cause: error,
      help: {
        id: 'daemon/no-context',
        cause: `${because} names the docker context "${name}", which ${folder} does not hold`,
        fix: because === 'DOCKER_CONTEXT' ? ['unset DOCKER_CONTEXT'] : ['docker context ls'],
      },
    });
  }
  const meta = JSON.parse(text) as { Endpoints?: { docker?: { Host?: string; SkipTLSVerify?: boolean } } };
  const endpoint = meta.Endpoints?.docker;
  const host = endpoint?.Host;
  if (!host)
    throw new CodedError('invalid_argument', `context ${JSON.stringify(name)}: it has no docker endpoint`);
  const certificates = join(folder, 'tls', id, 'docker');
  const tls = existsSync(certificates) ? readTlsFolder(certificates, !endpoint?.SkipTLSVerify) : undefined;
  return { endpoint: parseEndpoint(host, tls), because: `${because} "${name}"` };
}
