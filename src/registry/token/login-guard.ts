import { CodedError } from '#base/errors/index.ts';
import type { AccountDirectory, Subject } from '#registry/server/types.ts';

/** Failed sign-ins that are allowed in a window. */
export interface LoginLimits {
  readonly windowMs: number;
  readonly perAccount: number;
  readonly perAddress: number;
}

const DEFAULT_LIMITS: LoginLimits = { windowMs: 60_000, perAccount: 10, perAddress: 30 };
const ENTRY_LIMIT = 20_000;

/** Checks passwords and slows down who guesses: failures count per account and per address. */
export class LoginGuard {
  readonly #directory: AccountDirectory;
  readonly #limits: LoginLimits;
  readonly #now: () => number;
  readonly #failures = new Map<string, number[]>();

  constructor(
    directory: AccountDirectory,
    limits: LoginLimits = DEFAULT_LIMITS,
    now: () => number = () => performance.now(),
  ) {
    this.#directory = directory;
    this.#limits = limits;
    this.#now = now;
  }

  /**
   * The subject behind a name and a secret.
   * @throws {CodedError} `unauthenticated`, with one text for every cause; `resource_exhausted` about a `rate`.
   */
  async verify(name: string, secret: string, address: string): Promise<Subject> {
    this.check(name, address);
    // Counted before the check, so that many guesses at once do not slip through; taken back when it was right.
    this.fail(name, address);
    const subject = await this.#directory.verifyPassword(name, secret);
    if (subject === undefined) {
      throw new CodedError('unauthenticated', 'incorrect username or password', {
        help: {
          id: 'login/bad-password',
          cause: 'no account has this name and password or access token',
          fix: ['check the name, or make an access token on the page and use it as the password'],
        },
      });
    }
    for (const { key } of this.#keysOf(name, address)) this.#failures.get(key)?.pop();
    return subject;
  }

  /**
   * Refuses a sign-in after too many failures, also one with the right secret.
   * @throws {CodedError} `resource_exhausted` about a `rate`.
   */
  check(name: string, address: string): void {
    for (const { key, limit } of this.#keysOf(name, address)) this.#check(key, limit);
  }

  /** Counts a failed sign-in. */
  fail(name: string, address: string): void {
    for (const { key } of this.#keysOf(name, address)) this.#count(key);
  }

  #keysOf(name: string, address: string) {
    return [
      { key: `account ${name.slice(0, 128)}`, limit: this.#limits.perAccount },
      { key: `address ${address}`, limit: this.#limits.perAddress },
    ];
  }

  #check(key: string, limit: number): void {
    const recent = this.#recent(key);
    if (recent.length < limit) return;
    const waitMs = (recent[recent.length - limit] ?? 0) + this.#limits.windowMs - this.#now();
    throw new CodedError('resource_exhausted', 'too many failed sign-ins', {
      subject: { kind: 'rate', name: key },
      data: { retryAfterSeconds: waitMs / 1000 },
      help: {
        id: 'login/too-many-tries',
        cause: `more than ${limit} sign-ins failed within ${this.#limits.windowMs / 1000} seconds`,
        fix: [`wait ${Math.ceil(waitMs / 1000)} seconds`],
      },
    });
  }

  #count(key: string): void {
    const recent = this.#recent(key);
    recent.push(this.#now());
    this.#failures.delete(key);
    this.#failures.set(key, recent);
    if (this.#failures.size <= ENTRY_LIMIT) return;
    const oldest = this.#failures.keys().next().value;
    if (oldest !== undefined) this.#failures.delete(oldest);
  }

  #recent(key: string): number[] {
    const after = this.#now() - this.#limits.windowMs;
    return (this.#failures.get(key) ?? []).filter((at) => at > after);
  }
}
