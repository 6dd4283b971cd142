/**
 * Docker's credential helpers: a program `docker-credential-NAME` asked over stdin and stdout.
 *
 *     get    stdin: server   stdout: {"ServerURL","Username","Secret"}
 *     store  stdin: {"ServerURL","Username","Secret"}
 *     erase  stdin: server
 *     list   stdout: {"server":"username"}
 */
import { spawn } from 'node:child_process';
import { CodedError } from '#base/errors/index.ts';
import type { Credentials } from './types.ts';

const OUTPUT_LIMIT = 1024 * 1024;
const TIMEOUT_MS = 60_000;
const TOKEN_USER = '<token>';
const NOT_FOUND_TEXT = 'credentials not found in native keychain';

/** One helper program. Every failure but "not found" is thrown: credentials of another registry are never a fallback. */
export interface CredentialHelper {
  find(server: string): Promise<Credentials | undefined>;
  store(server: string, credentials: Credentials): Promise<void>;
  erase(server: string): Promise<void>;
  /** Servers and their user names. */
  list(): Promise<ReadonlyMap<string, string>>;
}

/**
 * The helper called `name`; it is a file name searched on PATH and never goes through a shell.
 * @throws {CodedError} `invalid_argument` for a name that is no plain file name.
 */
export function createCredentialHelper(name: string): CredentialHelper {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new CodedError('invalid_argument', `cannot use credential helper "${name}": it is no file name`);
  }
  const program = `docker-credential-${name}`;
  return {
    async find(server) {
      const result = await runHelper(program, 'get', server);
      if (result.exitCode !== 0) {
        if (result.output.includes(NOT_FOUND_TEXT)) return undefined;
        throw helperError(program, 'get', result.output);
      }
      return readSecret(program, result.output);
    },
    async store(server, credentials) {
      const secret = {
        ServerURL: server,
        Username: credentials.identityToken ? TOKEN_USER : (credentials.username ?? ''),
        Secret: credentials.identityToken ?? credentials.password ?? '',
      };
      const result = await runHelper(program, 'store', JSON.stringify(secret));
      if (result.exitCode !== 0) throw helperError(program, 'store', result.output);
    },
    async erase(server) {
      const result = await runHelper(program, 'erase', server);
      if (result.exitCode !== 0 && !result.output.includes(NOT_FOUND_TEXT))
        throw helperError(program, 'erase', result.output);
    },
    async list() {
      const result = await runHelper(program, 'list', '');
      if (result.exitCode !== 0) throw helperError(program, 'list', result.output);
      return new Map(Object.entries(parseJson(program, result.output)).map(([k, v]) => [k, String(v)]));
    },
  };
}

function readSecret(program: string, output: string): Credentials {
  const { Username: username, Secret: secret } = parseJson(program, output);
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw helperError(program, 'get', 'unexpected answer');
  return username === TOKEN_USER ? { identityToken: secret } : { username, password: secret };
}

function parseJson(program: string, output: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(output);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // The answer holds a secret: it is not repeated.
  }
  throw helperError(program, 'get', 'its answer is not JSON');
}

function helperError(program: string, verb: string, detail: string): CodedError {
  return new CodedError('unavailable', `error getting credentials - ${program} ${verb}: ${detail.trim()}`, {
    help: {
      id: 'auth/helper-failed',
      cause: `the credential helper ${program} is configured, but does not work`,
      fix: [`echo https://index.docker.io/v1/ | ${program} get`],
    },
  });
}

function runHelper(
  program: string,
  verb: string,
  input: string,
): Promise<{ exitCode: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [verb], { stdio: ['pipe', 'pipe', 'inherit'], timeout: TIMEOUT_MS });
    const chunks: Buffer[] = [];
    let length = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.byteLength;
      if (length > OUTPUT_LIMIT) child.kill('SIGKILL');
      else chunks.push(chunk);
    });
    child.stdin.on('error', () => undefined); // a helper may exit without reading
    child.stdin.end(input);
    child.on('error', (error) => {
      reject(
        helperError(
          program,
          verb,
          error.message.includes('ENOENT') ? 'executable file not found in $PATH' : error.message,
        ),
      );
    });
    child.on('close', (exitCode) =>
      resolve({ exitCode: exitCode ?? 1, output: Buffer.concat(chunks).toString('utf8') }),
    );
  });
}
