import createRouter, { type HTTPMethod, type HTTPVersion, type Instance } from 'find-my-way';
import { CodedError } from '#base/errors/index.ts';

/** A route that fits a request. */
export interface Match<T> {
  readonly value: T;
  readonly params: Readonly<Record<string, string>>;
}

interface Entry<T> {
  readonly value: T;
  readonly greedy: string | undefined;
  readonly suffix: string;
}

/**
 * Method and path to a value. `:id` is one segment; one `:name+` per path is one or more segments and may be followed
 * by fixed segments (`/images/:name+/json`): the longest fixed ending wins. Parameters are decoded.
 */
export class Router<T> {
  readonly #router: Instance<HTTPVersion.V1> = createRouter({
    maxParamLength: 4096,
    caseSensitive: true,
    ignoreTrailingSlash: false,
  });
  readonly #greedy = new Map<string, Entry<T>[]>();

  /** Registers a route; a second one for the same method and path is a bug. */
  add(method: string, path: string, value: T): void {
    const greedy = /^(.*\/):([A-Za-z]+)\+(\/[^:]*)?$/.exec(path);
    if (greedy === null) {
      this.#router.on(method as HTTPMethod, path, noop, [{ value, greedy: undefined, suffix: '' }]);
      return;
    }
    const [, prefix = '', name = '', suffix = ''] = greedy;
    const key = `${method} ${prefix}`;
    let entries = this.#greedy.get(key);
    if (entries === undefined) {
      entries = [];
      this.#greedy.set(key, entries);
      this.#router.on(method as HTTPMethod, `${prefix}*`, noop, entries);
    }
    if (entries.some((entry) => entry.suffix === suffix))
      throw new Error(`route ${method} ${path} exists already`);
    entries.push({ value, greedy: name, suffix });
    entries.sort((a, b) => b.suffix.length - a.suffix.length);
  }

  /**
   * The route for a path without its query.
   * @throws {CodedError} `invalid_argument` when the path is not properly percent-encoded.
   */
  find(method: string, path: string): Match<T> | undefined {
    checkEncoding(path);
    const found = this.#router.find(method as HTTPMethod, path);
    if (found === null) return undefined;
    const params: Record<string, string> = Object.create(null) as Record<string, string>;
    for (const [name, value] of Object.entries(found.params)) params[name] = value ?? '';
    const rest = params['*'];
    for (const entry of found.store as Entry<T>[]) {
      if (entry.greedy === undefined) return { value: entry.value, params };
      if (rest === undefined || !rest.endsWith(entry.suffix) || rest.length === entry.suffix.length) continue;
      delete params['*'];
      params[entry.greedy] = rest.slice(0, rest.length - entry.suffix.length);
      return { value: entry.value, params };
    }
    return undefined;
  }
}

function checkEncoding(path: string): void {
  if (!path.includes('%')) return;
  try {
    decodeURIComponent(path);
  } catch {
    throw new CodedError('invalid_argument', `malformed request path: ${JSON.stringify(path.slice(0, 200))}`);
  }
}

function noop(): void {}
