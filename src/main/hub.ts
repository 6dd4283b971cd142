/** `slipway hub`: the registry with accounts and page, in one process over one folder. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { createLog, isLogLevel, type Log } from '#base/log/index.ts';
import { Accounts } from '#hub/account/index.ts';
import { Catalog, HubDirectory } from '#hub/catalog/index.ts';
import { createHubServer, LiveEvents } from '#hub/server/index.ts';
import {
  cacheRights,
  createRegistry,
  createSqlMetadata,
  openAuthenticator,
  openAuthorizer,
  openFolderStorage,
  openRegistryDatabase,
  REGISTRY_MIGRATIONS,
} from '#registry/server/index.ts';
import { openTokenAuth } from '#registry/token/index.ts';
import { mountHubPage } from './hub-page.ts';

const USAGE = `usage: slipway hub --root DIR [--listen 127.0.0.1:5000] [options]

  --root DIR                   where everything is kept
  --listen HOST:PORT           address to serve (default 127.0.0.1:5000; port 0 takes a free one)
  --public-url URL             the address people use, when it is not the one that is served
  --open                       no accounts: everybody may do everything; only on loopback
  --admin NAME                 make this account, an administrator, if there is none yet
  --admin-password-file FILE   its password
  --anonymous-pull             repositories that a push creates are public: everybody may pull them without signing in
  --read-only                  maintenance: pulls and looking go on, pushes and changes are refused
  --no-sign-up                 only the first account can be made on the page
  --log-level LEVEL            debug, info, warn or error (default info)
  --database URL, --storage URL   embedded (default); nothing else yet
`;

interface HubSettings {
  readonly root: string;
  readonly host: string;
  readonly port: number;
  readonly isOpen: boolean;
  readonly allowsAnonymousPull: boolean;
  readonly allowsSignUp: boolean;
  readonly isReadOnly: boolean;
  readonly publicUrl: string | undefined;
  readonly admin: { readonly username: string; readonly passwordFile: string } | undefined;
  readonly log: Log;
}

/** Runs a hub with the arguments of its command line; resolves with the exit code of the program. */
export async function hubMain(args: readonly string[]): Promise<number> {
  let settings: HubSettings | undefined;
  try {
    settings = readSettings(args);
    if (settings === undefined) {
      process.stdout.write(USAGE);
      return 0;
    }
    await runHub(settings);
    return 0;
  } catch (error) {
    process.stderr.write(`slipway hub: ${messageOf(error)}\n`);
    return error instanceof CodedError && error.code === 'invalid_argument' ? 2 : 1;
  }
}

function readSettings(args: readonly string[]): HubSettings | undefined {
  const values = parseFlags(args);
  if (values['help'] === true) return undefined;
  const root = values['root'];
  if (typeof root !== 'string') throw new CodedError('invalid_argument', '--root is missing');
  for (const flag of ['database', 'storage'] as const) {
    const value = values[flag];
    if (value === undefined || value === 'embedded') continue;
    throw new CodedError(
      'unimplemented',
      `--${flag} ${String(value)}: only the embedded default works so far`,
    );
  }
  const { host, port } = parseListen(String(values['listen'] ?? '127.0.0.1:5000'));
  const isOpen = values['open'] === true;
  if (isOpen && !isLoopback(host)) {
    throw new CodedError(
      'invalid_argument',
      `--open lets everybody do everything: not on ${host}, only on loopback`,
    );
  }
  const level = String(values['log-level'] ?? 'info');
  if (!isLogLevel(level)) throw new CodedError('invalid_argument', `"${level}" is not a log level`);
  const log = createLog({ level, write: (line) => process.stderr.write(line) });
  return {
    root,
    host,
    port,
    isOpen,
    allowsAnonymousPull: values['anonymous-pull'] === true,
    allowsSignUp: values['no-sign-up'] !== true,
    isReadOnly: values['read-only'] === true,
    publicUrl: parsePublicUrl(values['public-url']),
    admin: parseAdmin(values['admin'], values['admin-password-file']),
    log,
  };
}

function parsePublicUrl(value: string | boolean | undefined): string | undefined {
  if (value === undefined) return undefined;
  const text = String(value);
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new CodedError('invalid_argument', `--public-url "${text}" is not an http or https address`);
  }
  return new URL(text).origin;
}

function parseAdmin(
  name: string | boolean | undefined,
  file: string | boolean | undefined,
): HubSettings['admin'] {
  if (name === undefined && file === undefined) return undefined;
  if (typeof name !== 'string' || typeof file !== 'string') {
    throw new CodedError('invalid_argument', '--admin and --admin-password-file go together');
  }
  return { username: name, passwordFile: file };
}

function parseFlags(args: readonly string[]): Record<string, string | boolean | undefined> {
  try {
    return parseArgs({
      args: [...args],
      options: {
        root: { type: 'string' },
        listen: { type: 'string' },
        'public-url': { type: 'string' },
        open: { type: 'boolean' },
        admin: { type: 'string' },
        'admin-password-file': { type: 'string' },
        'anonymous-pull': { type: 'boolean' },
        'no-sign-up': { type: 'boolean' },
        'read-only': { type: 'boolean' },
        'log-level': { type: 'string' },
        database: { type: 'string' },
        storage: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new CodedError('invalid_argument', messageOf(error));
  }
}

function parseListen(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new CodedError('invalid_argument', `cannot listen on "${text}": it is not HOST:PORT`);
  }
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.[0-9]{1,3}){3}$/.test(host);
}

async function runHub(settings: HubSettings): Promise<void> {
  // Output that nobody reads any more is no fault.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const { root, host, port, log } = settings;
  const database = openRegistryDatabase(join(root, 'hub.db'));
  const storage = await openFolderStorage({ root });
  const auth = settings.isOpen ? undefined : await openAuth(settings, database);
  const registry = createRegistry({
    metadata: createSqlMetadata(database),
    storage,
    authenticator: auth?.authenticator ?? openAuthenticator,
    authorizer: auth ? cacheRights(auth.directory, database) : openAuthorizer,
    isReadOnly: settings.isReadOnly,
    log: log.with({ part: 'registry' }),
  });
  await registry.recover(() => storage.listUploads());
  const hub = createHubServer({
    log,
    registry: (request, response) => registry.handle(request, response),
    token: auth && ((request, response) => auth.service.handle(request, response)),
    checkReady: async () => {
      await database.read.selectFrom('repositories').select('id').limit(1).execute();
    },
  });
  const closePage =
    auth &&
    mountHubPage({
      ...auth,
      hub,
      registry,
      storage,
      limiter: auth.guard,
      allowsSignUp: settings.allowsSignUp,
      isReadOnly: settings.isReadOnly,
      publicUrl: settings.publicUrl,
      log: log.with({ part: 'page' }),
    });
  const url = await hub.listen({ host, port });
  // Whoever reads the line may send the signal at once.
  const ended = untilSignal();
  process.stdout.write(`hub listening on ${url}\n`);
  await ended;
  await closePage?.();
  await hub.close();
  await registry.close();
  await storage.close();
  await database.close();
}

type Database = ReturnType<typeof openRegistryDatabase>;

/** Accounts, their rights, and the tokens that carry both to clients. */
async function openAuth(settings: HubSettings, database: Database) {
  const { root, admin, log, publicUrl } = settings;
  // The same database, for components that bring tables of their own.
  const tables = database.open<unknown>(REGISTRY_MIGRATIONS);
  const accounts = new Accounts(tables);
  const catalog = new Catalog(tables, { publicByDefault: settings.allowsAnonymousPull });
  const live = new LiveEvents();
  const directory = new HubDirectory(accounts, catalog, ({ username }) =>
    live.publish({ kind: 'signin', username }),
  );
  if (admin !== undefined && (await accounts.isEmpty())) {
    const password = (await readFile(admin.passwordFile, 'utf8')).replace(/\r?\n$/, '');
    await accounts.create({ username: admin.username, email: `${admin.username}@localhost`, password });
    log.info('made the administrator', { username: admin.username });
  }
  const token = await openTokenAuth({
    root,
    database: tables,
    directory,
    log: log.with({ part: 'token' }),
    publicUrl,
  });
  return { ...token, accounts, catalog, directory, live, tables };
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
}

if (process.argv[1] === import.meta.filename) process.exit(await hubMain(process.argv.slice(2)));
