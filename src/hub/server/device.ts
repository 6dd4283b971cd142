import type { IncomingMessage } from 'node:http';
import { CodedError } from '#base/errors/index.ts';
import type { Accounts, DeviceLoginState, DeviceLogins } from '#hub/account/index.ts';
import type {
  ApiError,
  DeviceCredentials,
  DeviceDecision,
  DeviceLogin,
  HubEvent,
  PendingDevice,
} from '#hub/protocol/index.ts';
import {
  addressOf,
  type Exchange,
  originOf,
  readJson,
  requireAccount,
  sendJson,
  textOf,
} from './exchange.ts';

/** A year: whoever works here every day does not sign in again, and what was forgotten ends. */
const TOKEN_DAYS = 365;

const WAITING: Readonly<Record<Exclude<DeviceLoginState['state'], 'approved'>, ApiError['error']>> = {
  pending: { code: 'authorization_pending', message: 'nobody has approved it yet' },
  slow_down: { code: 'slow_down', message: 'ask 5 seconds less often' },
  expired: { code: 'expired_token', message: 'the code has run out; begin again' },
  denied: { code: 'access_denied', message: 'the sign-in was refused on the page' },
};

/** What the routes of device logins work on. */
export interface DeviceServices {
  readonly accounts: Accounts;
  readonly devices: DeviceLogins;
  readonly live: { publish(event: HubEvent): void };
  /** Counts wrong codes. @throws `resource_exhausted` when there were too many. */
  readonly limiter: { check(name: string, address: string): void; fail(name: string, address: string): void };
  readonly publicUrl: string | undefined;
}

/** Handlers of `/api/device`. */
export class DeviceRoutes {
  readonly #services: DeviceServices;

  constructor(services: DeviceServices) {
    this.#services = services;
  }

  async start(exchange: Exchange): Promise<void> {
    const body = await readJson<{ client: string }>(exchange);
    const client = textOf(body.client) || clientOf(exchange.request);
    const started = await this.#services.devices.start(client, addressOf(exchange.request));
    const page = `${this.#services.publicUrl ?? originOf(exchange.request)}/activate`;
    const answer: DeviceLogin = {
      device_code: started.deviceCode,
      user_code: started.userCode,
      verification_uri: page,
      verification_uri_complete: `${page}?code=${started.userCode}`,
      expires_in: started.expiresInMs / 1000,
      interval: started.intervalMs / 1000,
    };
    sendJson(exchange.response, 200, answer);
  }

  async poll(exchange: Exchange): Promise<void> {
    const body = await readJson<{ device_code: string }>(exchange);
    const found = await this.#services.devices.poll(textOf(body.device_code));
    if (found.state !== 'approved') {
      const error: ApiError = { error: WAITING[found.state] };
      sendJson(exchange.response, 400, error);
      return;
    }
    const { accounts, live } = this.#services;
    const account = await accounts.get(found.accountId);
    const { secret } = await accounts.createToken(account, {
      description: `Command line: ${found.client}`.slice(0, 100),
      scope: 'write',
      expiresInDays: TOKEN_DAYS,
    });
    await accounts.noteClientSignIn(account);
    live.publish({ kind: 'signin', username: account.username });
    const answer: DeviceCredentials = { username: account.username, secret };
    sendJson(exchange.response, 200, answer);
  }

  async find(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    const found = await this.#guarded(exchange, account.username, () =>
      this.#services.devices.find(exchange.query.get('code') ?? ''),
    );
    const answer: PendingDevice = found;
    sendJson(exchange.response, 200, answer);
  }

  async decide(exchange: Exchange): Promise<void> {
    const account = requireAccount(exchange);
    const body = await readJson<DeviceDecision>(exchange);
    if (typeof body.approve !== 'boolean') throw new CodedError('invalid_argument', 'approve is missing');
    const decision = body.approve ? 'approved' : 'denied';
    await this.#guarded(exchange, account.username, async () =>
      (await this.#services.devices.decide(textOf(body.code), account, decision)) ? true : undefined,
    );
    sendJson(exchange.response, 200, {});
  }

  /** A code that is not there is a guess; guessing is as limited as it is for passwords, with a count of its own. */
  async #guarded<T>(exchange: Exchange, username: string, ask: () => Promise<T | undefined>): Promise<T> {
    const key = [`device ${username}`, `device ${addressOf(exchange.request)}`] as const;
    this.#services.limiter.check(...key);
    const found = await ask();
    if (found !== undefined) return found;
    this.#services.limiter.fail(...key);
    throw new CodedError('not_found', 'no command line waits for this code', {
      subject: { kind: 'field', name: 'code' },
      help: {
        id: 'login/no-such-code',
        cause: 'it was mistyped, used already, or is older than ten minutes',
      },
    });
  }
}

function clientOf(request: IncomingMessage): string {
  return request.headers['user-agent'] ?? 'unknown client';
}
