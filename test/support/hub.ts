/** A hub of its own for a test: a temporary root, a free port, an administrator. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const PROGRAM = resolve(import.meta.dirname, '../../src/main/hub.ts');

/** The administrator of every test hub. */
export const ADMIN = { username: 'admin', password: 'correct horse battery' } as const;

/** A running hub. */
export interface TestHub {
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  /** `127.0.0.1:port`, as a reference begins. */
  readonly host: string;
  /** Calls the JSON API; `cookie` is what `signIn` returned. */
  api(
    method: string,
    path: string,
    options?: { readonly body?: object; readonly cookie?: string; readonly headers?: Record<string, string> },
  ): Promise<ApiAnswer>;
  /** Signs in and returns the cookie. */
  signIn(login: string, password: string): Promise<string>;
  /** kill -9. */
  kill(): Promise<void>;
  /** Starts it again on the same root and port after `kill`. */
  start(): Promise<void>;
  dispose(): Promise<void>;
}

/** An answer of the API. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of many shapes
  readonly body: any;
}

/** Starts a hub; `args` are further flags. With `withAdmin: false` it has no account yet. */
export async function startHub(
  options: { readonly args?: readonly string[]; readonly withAdmin?: boolean } = {},
): Promise<TestHub> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-hub-'));
  const passwordFile = join(dir, 'password');
  writeFileSync(passwordFile, `${ADMIN.password}\n`);
  const admin =
    options.withAdmin === false ? [] : ['--admin', ADMIN.username, '--admin-password-file', passwordFile];
  const launch = (address: string): ChildProcess => {
    const args = [
      PROGRAM,
      '--root',
      join(dir, 'root'),
      '--listen',
      address,
      ...admin,
      ...(options.args ?? []),
    ];
    return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  };
  let child = launch('127.0.0.1:0');
  const url = await readAddress(child);
  const api: TestHub['api'] = async (method, path, { body, cookie, headers } = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(cookie === undefined ? {} : { cookie }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
  };
  return {
    url,
    host: new URL(url).host,
    api,
    async signIn(login, password) {
      const answer = await api('POST', '/api/session', { body: { login, password } });
      return (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    },
    kill: () => end(child, 'SIGKILL'),
    async start() {
      child = launch(new URL(url).host);
      await readAddress(child);
    },
    async dispose() {
      await end(child, 'SIGTERM');
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

async function readAddress(child: ChildProcess): Promise<string> {
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += String(chunk);
  });
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += String(chunk);
      const match = /hub listening on (\S+)/.exec(output);
      if (match?.[1] !== undefined) resolve(match[1]);
    });
    child.once('exit', (code) => reject(new Error(`the hub ended with ${code}: ${said}`)));
  });
}
