/** A registry's answers and the network's failures as errors, in Docker's words. */
import { CodedError, type ErrorCode, type ErrorHelp, messageOf, redact } from '#base/errors/index.ts';
import { parseChallenges } from '#registry/auth/index.ts';

/** One entry of a registry's `errors` list. */
export interface Diagnostic {
  readonly code: string;
  readonly message: string;
}

/** An answer that is no success. `diagnostics` is never empty. */
export class RegistryResponseError extends CodedError {
  readonly status: number;
  readonly diagnostics: readonly Diagnostic[];
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    facts: {
      readonly status: number;
      readonly diagnostics: readonly Diagnostic[];
      readonly retryAfterMs: number | undefined;
      readonly method: string;
      readonly url: URL;
    },
  ) {
    super(code, message, {
      data: { status: facts.status, method: facts.method, url: redact(facts.url.href) },
    });
    this.status = facts.status;
    this.diagnostics = facts.diagnostics;
    this.retryAfterMs = facts.retryAfterMs;
  }

  /** The registry's code of the first diagnostic, such as `MANIFEST_UNKNOWN`. */
  get registryCode(): string {
    return this.diagnostics[0]?.code ?? '';
  }
}

/** What of an answer an error is made from. */
export interface FailedResponse {
  readonly method: string;
  readonly url: URL;
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** At most a few KiB of the body. */
  readonly body: string;
}

const BY_REGISTRY_CODE: Readonly<Record<string, ErrorCode>> = {
  UNAUTHORIZED: 'unauthenticated',
  DENIED: 'permission_denied',
  MANIFEST_UNKNOWN: 'not_found',
  NAME_UNKNOWN: 'not_found',
  BLOB_UNKNOWN: 'not_found',
  BLOB_UPLOAD_UNKNOWN: 'not_found',
  TOOMANYREQUESTS: 'resource_exhausted',
  UNSUPPORTED: 'unimplemented',
};

/** Reads an answer that is no success. */
export function responseError(response: FailedResponse): RegistryResponseError {
  const diagnostics = readDiagnostics(response);
  const [first] = diagnostics;
  const code = BY_REGISTRY_CODE[first?.code ?? ''] ?? codeOfStatus(response.status);
  const message =
    first === undefined ? '' : `${first.code.toLowerCase().replaceAll('_', ' ')}: ${first.message}`;
  const retryAfterMs = readRetryAfter(response.headers['retry-after']);
  return new RegistryResponseError(code, message, {
    status: response.status,
    diagnostics,
    retryAfterMs,
    method: response.method,
    url: response.url,
  });
}

function readDiagnostics(response: FailedResponse): readonly Diagnostic[] {
  // What the token says about itself comes before the body, as in Docker: it tells "no rights" from "not signed in".
  const challenge = parseChallenges(response.headers['www-authenticate']).find((c) => c.scheme === 'bearer');
  const tokenError = response.status === 401 ? challenge?.parameters['error'] : undefined;
  if (tokenError === 'insufficient_scope')
    return [{ code: 'DENIED', message: 'requested access to the resource is denied' }];
  const listed = parseErrorList(response.body);
  if (listed.length > 0) return listed;
  if (response.status === 401) return [{ code: 'UNAUTHORIZED', message: 'authentication required' }];
  if (response.status === 403)
    return [{ code: 'DENIED', message: 'requested access to the resource is denied' }];
  if (response.status === 429) return [{ code: 'TOOMANYREQUESTS', message: plainText(response) }];
  if (response.status === 404 && response.url.pathname.includes('/manifests/'))
    return [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }];
  return [
    {
      code: 'UNKNOWN',
      message: `received unexpected HTTP status: ${response.status} from ${response.url.host}`,
    },
  ];
}

function parseErrorList(body: string): Diagnostic[] {
  try {
    const { errors } = JSON.parse(body) as { errors?: unknown };
    if (!Array.isArray(errors)) return [];
    return errors.slice(0, 16).flatMap((entry: { code?: unknown; message?: unknown } | null) => {
      if (typeof entry?.code !== 'string') return [];
      const message =
        typeof entry.message === 'string' && entry.message ? entry.message : defaultMessage(entry.code);
      return [{ code: entry.code.slice(0, 64), message: message.slice(0, 2048) }];
    });
  } catch {
    return [];
  }
}

function defaultMessage(code: string): string {
  if (code === 'UNAUTHORIZED') return 'authentication required';
  if (code === 'DENIED') return 'requested access to the resource is denied';
  return code.toLowerCase().replaceAll('_', ' ');
}

function plainText(response: FailedResponse): string {
  const text = response.body.trim();
  return text !== '' && !text.startsWith('<') ? text.slice(0, 512) : 'too many requests';
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'permission_denied';
  if (status === 404) return 'not_found';
  if (status === 429) return 'resource_exhausted';
  if (status >= 500) return 'unavailable';
  return 'invalid_argument';
}

function readRetryAfter(header: string | string[] | undefined): number | undefined {
  const text = (Array.isArray(header) ? header[0] : header)?.trim();
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** Whether a failure of the network or of the other side may go away by itself. */
export function isTransient(error: unknown): boolean {
  if (error instanceof RegistryResponseError)
    return error.status === 429 || error.status === 408 || (error.status >= 500 && error.status !== 501);
  return error instanceof NetworkError && error.transient;
}

/** A connection that could not be made or broke. */
export class NetworkError extends CodedError {
  readonly transient: boolean;
  /** The peer speaks plain HTTP where TLS was expected, or the other way round. */
  readonly wrongProtocol: boolean;

  constructor(
    message: string,
    facts: { transient: boolean; wrongProtocol: boolean; cause: unknown; help?: ErrorHelp | undefined },
  ) {
    super('unavailable', message, { cause: facts.cause, help: facts.help });
    this.transient = facts.transient;
    this.wrongProtocol = facts.wrongProtocol;
  }
}

interface NodeNetworkError {
  readonly code?: string;
  readonly address?: string;
  readonly port?: number;
  readonly hostname?: string;
  readonly errors?: readonly NodeNetworkError[];
  readonly message?: string;
}

const TLS_CODES = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]);

/** A failure of the HTTP client as `Get "https://host/v2/": dial tcp 1.2.3.4:443: connect: connection refused`. */
export function networkError(error: unknown, method: string, url: URL): CodedError {
  if (error instanceof CodedError) return error;
  const facts = unwrap(error);
  const place = `${method[0]}${method.slice(1).toLowerCase()} "${redact(url.href)}"`;
  const address = facts.address === undefined ? url.host : `${hostOf(facts.address)}:${facts.port ?? ''}`;
  const code = facts.code ?? '';
  const make = (detail: string, transient: boolean, wrongProtocol = false): NetworkError =>
    new NetworkError(`${place}: ${detail}`, {
      transient,
      wrongProtocol,
      cause: error,
      help: networkHelp(code, url, address),
    });
  if (code === 'ECONNREFUSED') return make(`dial tcp ${address}: connect: connection refused`, true);
  if (code === 'EHOSTUNREACH') return make(`dial tcp ${address}: connect: no route to host`, false);
  if (code === 'ENETUNREACH') return make(`dial tcp ${address}: connect: network is unreachable`, false);
  if (code === 'ENOTFOUND') return make(`dial tcp: lookup ${url.hostname}: no such host`, false);
  if (code === 'EAI_AGAIN')
    return make(`dial tcp: lookup ${url.hostname}: Temporary failure in name resolution`, false);
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT')
    return make(`dial tcp ${address}: i/o timeout`, true);
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return make('net/http: timeout awaiting response headers', true);
  if (code === 'UND_ERR_BODY_TIMEOUT') return make('timeout while reading the body', true);
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return make('http: server gave HTTP response to HTTPS client', false, true);
  if (code === 'HPE_INVALID_CONSTANT' || code.startsWith('HPE_'))
    return make(`malformed HTTP response (${facts.message ?? code})`, false, true);
  if (TLS_CODES.has(code))
    return make('tls: failed to verify certificate: x509: certificate signed by unknown authority', false);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return make(`tls: failed to verify certificate: x509: ${facts.message ?? 'wrong name'}`, false);
  if (code === 'CERT_HAS_EXPIRED')
    return make(
      'tls: failed to verify certificate: x509: certificate has expired or is not yet valid',
      false,
    );
  if (code.startsWith('ERR_SSL') || code === 'EPROTO')
    return make(`tls: ${facts.message ?? code}`, false, true);
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' || code === 'UND_ERR_SOCKET') return make('EOF', true);
  if (code === 'ECONNRESET' || code === 'EPIPE') return make('read: connection reset by peer', true);
  return make(facts.message ?? messageOf(error), false);
}

/** What a person needs to know about a connection that failed. */
function networkHelp(code: string, { hostname, host }: URL, address: string): ErrorHelp | undefined {
  const id = 'registry/unreachable';
  const check = `check the registry's host and port in the name of the image, and that it runs`;
  if (code === 'ECONNREFUSED') return { id, cause: `nothing listens at ${address}`, fix: [check] };
  if (code === 'ENOTFOUND')
    return { id, cause: `no address is known for ${hostname}`, fix: [check, `getent hosts ${hostname}`] };
  if (code === 'EAI_AGAIN')
    return { id, cause: 'the name server of this machine does not answer', fix: ['cat /etc/resolv.conf'] };
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return { id, cause: `this machine has no route to ${address}`, fix: ['ip route'] };
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT')
    return { id, cause: `${address} does not answer`, fix: [check] };
  if (BROKEN_CODES.has(code))
    return {
      id: 'registry/connection-lost',
      cause: `${host} closed the connection in the middle, several times`,
      fix: ['run the same command again: what has already arrived is not transferred again'],
    };
  return undefined;
}

const BROKEN_CODES = new Set([
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_SOCKET',
  'ECONNRESET',
  'EPIPE',
]);

/** Looks through aggregate errors and causes for the one that names the system call's failure. */
function unwrap(error: unknown): NodeNetworkError {
  let current = error as NodeNetworkError & { cause?: unknown };
  for (let depth = 0; depth < 4; depth++) {
    const inner = current.errors?.[0] ?? (current.code === undefined ? current.cause : undefined);
    if (typeof inner !== 'object' || inner === null) break;
    current = inner as NodeNetworkError & { cause?: unknown };
  }
  return current;
}

function hostOf(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
