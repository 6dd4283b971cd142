import { CodedError } from '#base/errors/index.ts';
import type { EngineClient, EngineResponse } from '#engine/client/index.ts';
import type { Attachment } from './container-body.ts';
import { type Joined, joinStreams } from './stream-io.ts';
import type { CliContext } from './types.ts';

/** How a container is run in the foreground. */
export interface AttachedOptions {
  readonly attach: Attachment;
  readonly tty: boolean;
  readonly autoRemove: boolean;
  readonly sigProxy: boolean;
  readonly detachKeys: string | undefined;
}

/** Attaches, waits, starts, in this order, so that neither output nor exit code is lost. Returns the exit code. */
export async function runAttached(
  context: CliContext,
  engine: EngineClient,
  id: string,
  options: AttachedOptions,
): Promise<number> {
  const { attach } = options;
  const stream = await engine.hijack('POST', `/containers/${id}/attach`, {
    query: {
      stream: true,
      stdin: attach.stdin,
      stdout: attach.stdout,
      stderr: attach.stderr,
      detachKeys: options.detachKeys,
    },
  });
  const joined = joinStreams(context, stream, {
    ...attach,
    tty: options.tty,
    detachKeys: options.detachKeys,
  });
  const stopSignals = options.sigProxy ? proxySignals(context, engine, id) : () => undefined;
  try {
    const waiting = await engine.send('POST', `/containers/${id}/wait`, {
      query: { condition: options.autoRemove ? 'removed' : 'next-exit' },
    });
    try {
      await engine.call('POST', `/containers/${id}/start`);
    } catch (error) {
      joined.release();
      waiting.takeSocket().socket.destroy();
      throw error;
    }
    const stopResize = options.tty ? followSize(context, engine, `/containers/${id}`) : () => undefined;
    try {
      return await finish(waiting, joined);
    } finally {
      stopResize();
    }
  } finally {
    joined.release();
    stopSignals();
  }
}

async function finish(waiting: EngineResponse, joined: Joined): Promise<number> {
  if ((await joined.ended) === 'detached') {
    waiting.takeSocket().socket.destroy();
    return 0;
  }
  return readExitCode(waiting);
}

/** The exit code in the answer of `wait`, whose body comes when the container has ended. */
export async function readExitCode(waiting: EngineResponse): Promise<number> {
  const chunks: Buffer[] = [];
  for await (const chunk of waiting.body) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  const answer = JSON.parse(text === '' ? '{}' : text) as {
    StatusCode?: number;
    Error?: { Message?: string } | null;
    message?: string;
  };
  const message = answer.Error?.Message ?? answer.message;
  if (message)
    throw new CodedError('internal', message, { data: { exitCode: 125, fromEngine: true, status: 500 } });
  return answer.StatusCode ?? 125;
}

/** Tells the engine the size of our terminal, now and whenever it changes. `path` is a container's or an exec's. */
export function followSize(context: CliContext, engine: EngineClient, path: string): () => void {
  if (!context.stdout.isTTY) return () => undefined;
  const tell = (): void => {
    const query = { h: context.stdout.rows, w: context.stdout.columns };
    // A size that comes too late (the process is gone) is of no use to anybody.
    engine.call('POST', `${path}/resize`, { query }).catch(() => undefined);
  };
  tell();
  context.stdout.stream.on('resize', tell);
  return () => context.stdout.stream.off('resize', tell);
}

/** Passes signals that we get on to the container. */
export function proxySignals(context: CliContext, engine: EngineClient, id: string): () => void {
  return context.interceptSignals((signal) => {
    engine.call('POST', `/containers/${id}/kill`, { query: { signal } }).catch(() => undefined);
  });
}
