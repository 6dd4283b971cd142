/** A command's surroundings for tests: what it wrote, and an engine that answers by a function. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createEngineClient, parseEndpoint } from '#engine/client/index.ts';
import { runCli } from './run-cli.ts';
import type { CliContext } from './types.ts';

/** What one command line did. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An engine answers a request. */
export type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

/** A place to run command lines in. */
export interface TestShell {
  readonly dir: string;
  readonly requests: string[];
  run(
    words: readonly string[],
    options?: { readonly stdin?: string; readonly environment?: Record<string, string> },
  ): Promise<Outcome>;
}

/** Runs `body` with a shell whose engine answers by `answer`. */
export async function withShell(answer: Answer, body: (shell: TestShell) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-cli-'));
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => answer(request, response, Buffer.concat(chunks)));
  });
  const socket = join(dir, 'e.sock');
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await body({
      dir,
      requests,
      run: (words, options = {}) => runIn(dir, socket, words, options),
    });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true, force: true });
  }
}

async function runIn(
  dir: string,
  socket: string,
  words: readonly string[],
  options: { readonly stdin?: string; readonly environment?: Record<string, string> },
): Promise<Outcome> {
  const written = { stdout: '', stderr: '' };
  const output = (name: keyof typeof written): CliContext['stdout'] => ({
    isTTY: false,
    columns: 80,
    rows: 24,
    write: (text) => {
      written[name] += typeof text === 'string' ? text : Buffer.from(text).toString();
    },
    stream: process.stdout,
  });
  const input = Readable.from([Buffer.from(options.stdin ?? '')]);
  const context: CliContext = {
    version: '0.0.0-test',
    environment: options.environment ?? {},
    workingDir: dir,
    homeDir: dir,
    program: 'slipway',
    selfCommand: [],
    configPath: join(dir, 'config.json'),
    engineChoice: {},
    signal: new AbortController().signal,
    interceptSignals: () => () => undefined,
    stdin: {
      isTTY: false,
      stream: process.stdin,
      [Symbol.asyncIterator]: () => input[Symbol.asyncIterator](),
    },
    stdout: output('stdout'),
    stderr: output('stderr'),
    config: async () => (await import('#registry/auth/index.ts')).loadDockerConfig(join(dir, 'config.json')),
    engine: async () => createEngineClient(parseEndpoint(`unix://${socket}`)),
  };
  const code = await runCli(words, () => context);
  return { code, ...written };
}
