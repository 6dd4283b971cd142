import { CodedError } from '#base/errors/index.ts';
import { createCredentialStore, normalizeRegistry } from '#registry/auth/index.ts';
import type { Credentials } from '#registry/auth/types.ts';
import { usageError } from './flags.ts';
import { promptLine } from './prompt.ts';
import type { CliContext, Command, Flags } from './types.ts';

const HUB = 'https://index.docker.io/v1/';
const PASSWORD_LIMIT = 64 * 1024;

/** `slipway login`. */
export const login: Command = {
  usage: 'login [OPTIONS] [SERVER]',
  summary: 'Authenticate to a registry. Defaults to Docker Hub if no server is specified',
  minArgs: 0,
  maxArgs: 1,
  flags: [
    { name: 'password', short: 'p', kind: 'string', help: 'Password or Personal Access Token (PAT)' },
    {
      name: 'password-stdin',
      kind: 'bool',
      help: 'Take the Password or Personal Access Token (PAT) from stdin',
    },
    { name: 'username', short: 'u', kind: 'string', help: 'Username' },
    { name: 'device', kind: 'bool', help: 'Approve the sign-in on the page of a Slipway hub' },
  ],
  async run(context, [server], flags) {
    const registry = normalizeRegistry(server ?? 'docker.io');
    const store = createCredentialStore(context.configPath);
    const approved = await approveOnPage(context, registry, flags);
    if (approved !== undefined) {
      warnOfPlainText(context, await store.store(registry, approved));
      context.stdout.write('Login Succeeded\n');
      return 0;
    }
    const asked = await askCredentials(context, registry, {
      username: flags.string('username'),
      password: flags.string('password'),
      fromStdin: flags.bool('password-stdin'),
      stored: () => store.find(registry),
    });
    const answer = await checkLogin(context, registry, asked);
    const kept: Credentials = answer.IdentityToken
      ? { ...(asked.username ? { username: asked.username } : {}), identityToken: answer.IdentityToken }
      : asked;
    const place = await store.store(registry, kept);
    warnOfPlainText(context, place);
    if (answer.Status) context.stdout.write(`${answer.Status}\n`);
    return 0;
  },
};

/** `slipway logout`. */
export const logout: Command = {
  usage: 'logout [SERVER]',
  summary: 'Log out from a registry. Defaults to Docker Hub if no server is specified',
  minArgs: 0,
  maxArgs: 1,
  flags: [],
  async run(context, [server]) {
    const registry = normalizeRegistry(server ?? 'docker.io');
    const shown = registry === 'docker.io' ? HUB : registry;
    context.stdout.write(`Removing login credentials for ${shown}\n`);
    await createCredentialStore(context.configPath).erase(registry);
    return 0;
  },
};

/** Signs in by the page where nothing was given to sign in with and the registry is a hub of ours. */
async function approveOnPage(
  context: CliContext,
  registry: string,
  flags: Flags,
): Promise<Credentials | undefined> {
  const given = ['username', 'password', 'password-stdin'].find((name) => flags.has(name));
  const isWanted = flags.bool('device');
  if (isWanted && given !== undefined) throw usageError(`--device and --${given} are mutually exclusive`);
  if (given !== undefined || registry === 'docker.io' || !(isWanted || context.stdin.isTTY)) return undefined;
  const { findHub, loginByDevice } = await import('./login-device.ts');
  const hub = await findHub(registry, context.signal);
  if (hub !== undefined) return loginByDevice(context, hub);
  if (!isWanted) return undefined;
  throw new CodedError('failed_precondition', `${registry} has no sign-in by its page`, {
    help: {
      id: 'login/no-device',
      cause: 'it does not answer as a Slipway hub does',
      fix: [`${context.program} login -u NAME ${registry}`],
    },
  });
}

function warnOfPlainText(context: CliContext, { path }: { readonly path?: string }): void {
  if (path === undefined) return;
  context.stderr.write(
    `\nWARNING! Your credentials are stored unencrypted in '${path}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n`,
  );
}

async function askCredentials(
  context: CliContext,
  registry: string,
  given: {
    readonly username: string | undefined;
    readonly password: string | undefined;
    readonly fromStdin: boolean;
    readonly stored: () => Promise<Credentials | undefined>;
  },
): Promise<Credentials> {
  if (given.password !== undefined) {
    context.stderr.write('WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n');
    if (given.fromStdin) throw plain('--password and --password-stdin are mutually exclusive');
    if (given.password === '') throw plain('password is empty');
  }
  if (given.fromStdin) {
    if (!given.username) throw plain('the --password-stdin option requires --username to be set');
    const password = (await readAll(context)).replace(/\r?\n$/, '');
    if (password === '') throw plain('password is empty');
    return { username: given.username, password };
  }
  if (given.username && given.password) return { username: given.username, password: given.password };
  if (!context.stdin.isTTY) {
    throw new CodedError('failed_precondition', 'cannot perform an interactive login from a non-TTY device', {
      help: {
        id: 'login/no-tty',
        cause: 'there is no terminal to ask for the name and the password',
        fix: [
          `echo "$TOKEN" | ${context.program} login -u ${given.username || 'NAME'} --password-stdin${registry === 'docker.io' ? '' : ` ${registry}`}`,
        ],
      },
    });
  }
  const stored = await given.stored();
  const offered = stored?.username ?? '';
  const question = offered === '' ? 'Username: ' : `Username (${offered}): `;
  const username = given.username || (await promptLine(context, question)).trim() || offered;
  if (username === '') throw plain('username is empty');
  const password = given.password ?? (await promptLine(context, 'Password: ', { hidden: true }));
  if (password === '') throw plain('password is empty');
  return { username, password };
}

function plain(message: string): CodedError {
  return new CodedError('invalid_argument', message);
}

async function readAll(context: CliContext): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of context.stdin) {
    length += chunk.byteLength;
    if (length > PASSWORD_LIMIT) throw usageError('the password on stdin is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function checkLogin(
  context: CliContext,
  registry: string,
  credentials: Credentials,
): Promise<{ readonly Status?: string; readonly IdentityToken?: string }> {
  const engine = await context.engine();
  return engine.call('POST', '/auth', {
    json: {
      username: credentials.username,
      password: credentials.password,
      serveraddress: registry === 'docker.io' ? HUB : registry,
    },
    signal: context.signal,
  });
}
