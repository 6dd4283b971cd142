import { AsyncLocalStorage } from 'node:async_hooks';

/** The request that the running code works for. */
export interface RequestScope {
  readonly method: string;
  readonly path: string;
  /** Closes the client's connection: nothing sensible can be answered any more. */
  abandon(): void;
}

// One for the process: the exception handler that asks it is one for the process too.
const scopes = new AsyncLocalStorage<RequestScope>();

/** Runs `body`, and everything it starts, as work of a request. */
export function runInScope<T>(scope: RequestScope, body: () => T): T {
  return scopes.run(scope, body);
}

/** The request the running code works for; `undefined` outside of requests. Also in handlers of uncaught exceptions. */
export function currentRequest(): RequestScope | undefined {
  return scopes.getStore();
}

/** Runs `body` as work of no request: for what a request starts and leaves behind. */
export function runOutsideRequests<T>(body: () => T): T {
  return scopes.exit(body);
}
