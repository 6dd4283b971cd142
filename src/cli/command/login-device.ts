/** Sign-in of a terminal by the page of a Slipway hub: `POST /api/device`, then `POST /api/device/token` until it is decided. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { isLoopbackHost } from '#base/http/index.ts';
import { escapeLine } from '#cli/output/index.ts';
import type { Credentials } from '#registry/auth/types.ts';
import type { CliContext } from './types.ts';

const PROBE_MS = 3000;
const REQUEST_MS = 15_000;
const SLOWER_MS = 5000;
const ANSWER_LIMIT = 64 * 1024;

interface Started {
  readonly deviceCode: string;
  readonly userCode: string;
  readonly address: string;
  readonly intervalMs: number;
  readonly endsAt: number;
}

/** The origin of a registry when a Slipway hub answers there. Without TLS only this machine is asked. */
export async function findHub(registry: string, signal: AbortSignal): Promise<string | undefined> {
  for (const scheme of schemesOf(registry)) {
    const origin = `${scheme}://${registry}`;
    if (!URL.canParse(origin)) return undefined;
    const answer = await send(
      `${origin}/api/session`,
      undefined,
      AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]),
    ).catch(() => undefined);
    if (answer?.status === 200 && typeof answer.body['registryHost'] === 'string') return origin;
  }
  signal.throwIfAborted();
  return undefined;
}

/**
 * Shows a code, waits until somebody approves it on the page, and returns the access token made for it.
 * @throws {CodedError} `permission_denied` when it was refused, `failed_precondition` when nobody came in time.
 */
export async function loginByDevice(context: CliContext, origin: string): Promise<Credentials> {
  const started = await start(context, origin);
  context.stderr.write(
    `Open this address in a browser and approve the sign-in:\n\n  ${escapeLine(started.address)}\n\nIt shows the code ${escapeLine(started.userCode)}\n\nWaiting…\n`,
  );
  let intervalMs = started.intervalMs;
  while (Date.now() < started.endsAt) {
    await sleep(intervalMs, undefined, { signal: context.signal });
    const { status, body } = await ask(context, `${origin}/api/device/token`, {
      device_code: started.deviceCode,
    });
    const { username, secret } = body;
    if (status === 200 && typeof username === 'string' && typeof secret === 'string')
      return { username, password: secret };
    const code = errorOf(body).code;
    if (code === 'slow_down') intervalMs += SLOWER_MS;
    else if (code === 'access_denied')
      throw new CodedError('permission_denied', 'the sign-in was refused on the page');
    else if (code === 'expired_token') break;
    else if (code !== 'authorization_pending') throw unexpected(origin, status, body);
  }
  throw new CodedError('failed_precondition', `nobody approved the code ${started.userCode} in time`, {
    help: {
      id: 'login/expired',
      cause: 'a code is good for a few minutes and for one sign-in',
      fix: [`${context.program} login ${new URL(origin).host}`],
    },
  });
}

async function start(context: CliContext, origin: string): Promise<Started> {
  const client = `${context.program} ${context.version} on ${context.environment['HOSTNAME'] ?? (await import('node:os')).hostname()}`;
  const { status, body } = await ask(context, `${origin}/api/device`, { client });
  const { device_code: deviceCode, user_code: userCode, verification_uri_complete: address } = body;
  const { interval, expires_in: expiresIn } = body;
  if (
    status !== 200 ||
    typeof deviceCode !== 'string' ||
    typeof userCode !== 'string' ||
    typeof address !== 'string' ||
    !/^https?:\/\//.test(address) ||
    typeof interval !== 'number' ||
    typeof expiresIn !== 'number'
  )
    throw unexpected(origin, status, body);
  return {
    deviceCode,
    userCode,
    address,
    intervalMs: Math.min(Math.max(interval, 1), 60) * 1000,
    endsAt: Date.now() + Math.min(expiresIn, 3600) * 1000,
  };
}

function ask(context: CliContext, url: string, body: object): Promise<Answer> {
  return send(url, body, AbortSignal.any([context.signal, AbortSignal.timeout(REQUEST_MS)]));
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

async function send(url: string, body: object | undefined, signal: AbortSignal): Promise<Answer> {
  const init: RequestInit =
    body === undefined
      ? { signal, redirect: 'error' }
      : {
          signal,
          redirect: 'error',
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        };
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    throw new CodedError('unavailable', `cannot reach ${new URL(url).host}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  const text = await readLimited(response);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not ours: the caller sees an answer without fields.
  }
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return { status: response.status, body: isObject ? (value as Record<string, unknown>) : {} };
}

async function readLimited(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength;
    if (length > ANSWER_LIMIT) return '';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function errorOf(body: Answer['body']): { readonly code?: unknown; readonly message?: unknown } {
  const { error } = body;
  return typeof error === 'object' && error !== null ? error : {};
}

function unexpected(origin: string, status: number, body: Answer['body']): CodedError {
  const { message } = errorOf(body);
  const said = typeof message === 'string' ? escapeLine(message) : `status ${status}`;
  return new CodedError(
    status === 429 ? 'resource_exhausted' : 'unavailable',
    `cannot sign in by ${origin}: ${said}`,
  );
}

function reasonOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}

/** As for pulls and pushes: another machine is never asked without TLS. */
function schemesOf(registry: string): readonly string[] {
  const name = registry.replace(/:\d+$/, '');
  return isLoopbackHost(name) ? ['http', 'https'] : ['https'];
}
