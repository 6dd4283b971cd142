/**
 * The one error class of Slipway. The code says what a caller may do, the message says what happened,
 * `subject` says about what, and `help` carries what a person needs next (a stable id, cause, fix).
 */

/** What a caller may do about a failure; closed, translated to each wire protocol in one table. */
export type ErrorCode =
  | 'invalid_argument'
  | 'not_found'
  | 'already_exists'
  | 'conflict'
  | 'failed_precondition'
  | 'unauthenticated'
  | 'permission_denied'
  | 'resource_exhausted'
  | 'unavailable'
  | 'aborted'
  | 'data_loss'
  | 'unimplemented'
  | 'internal';

/** The thing an error is about, such as `{kind: 'blob', name: 'sha256:…'}`. */
export interface Subject {
  readonly kind: string;
  readonly name: string;
}

/** Cause and remedy shown to people: `id` never changes; each `fix` is one command or action that can be pasted. */
export interface ErrorHelp {
  readonly id: string;
  readonly cause?: string;
  readonly fix?: readonly string[];
}

/** Options of `CodedError`; every field is optional. */
export interface CodedErrorOptions {
  readonly subject?: Subject | undefined;
  readonly help?: ErrorHelp | undefined;
  readonly data?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: unknown;
}

/** A failure with a code. `message` is complete by itself: a wrapped cause is already part of its text. */
export class CodedError extends Error {
  readonly code: ErrorCode;
  readonly subject: Subject | undefined;
  readonly help: ErrorHelp | undefined;
  readonly data: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: CodedErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CodedError';
    this.code = code;
    this.subject = options.subject;
    this.help = options.help;
    this.data = options.data;
  }
}

/** Whether `error` is a `CodedError` with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is CodedError {
  return error instanceof CodedError && error.code === code;
}

/** The code of any thrown value; what is not a `CodedError` is `internal`, except system errors we know. */
export function codeOf(thrown: unknown): ErrorCode {
  const error = primaryError(thrown);
  if (error instanceof CodedError) return error.code;
  if (isDatabaseFull(error)) return 'resource_exhausted';
  if (isSystemError(error)) return SYSTEM_CODES[error.code] ?? 'internal';
  return 'internal';
}

/** What went wrong first: cleaning up after a failure may fail too, and then JavaScript throws both as one. */
export function primaryError(error: unknown): unknown {
  let primary = error;
  while (primary instanceof SuppressedError) primary = primary.suppressed;
  return primary;
}

const SQLITE_FULL = 13;

function isDatabaseFull(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_FULL;
}

const DISK_FULL_CODES = ['ENOSPC', 'EDQUOT'];
const MAX_CAUSES = 16;

/** Whether a failure, or what caused it, is a file system (or a quota) without room. */
export function isDiskFull(thrown: unknown): boolean {
  let error = primaryError(thrown);
  for (let depth = 0; depth < MAX_CAUSES && error instanceof Error; depth++) {
    if (isDatabaseFull(error)) return true;
    if (isSystemError(error) && DISK_FULL_CODES.includes(error.code)) return true;
    if (error instanceof CodedError && error.help?.id === 'disk/full') return true;
    error = primaryError(error.cause);
  }
  return false;
}

/** The message of any thrown value. */
export function messageOf(thrown: unknown): string {
  const error = primaryError(thrown);
  if (isDatabaseFull(error)) return 'no space left on device: the database cannot grow';
  return error instanceof Error ? error.message : String(error);
}

/**
 * Adds the name that one area knows to an error from below: `wrapError(e, 'cannot push "a/b:1"')` reads
 * `cannot push "a/b:1": <cause>`. Code, subject, help and data are kept.
 */
export function wrapError(error: unknown, message: string): CodedError {
  const kept = error instanceof CodedError ? error : undefined;
  return new CodedError(codeOf(error), `${message}: ${messageOf(error)}`, {
    cause: error,
    subject: kept?.subject,
    help: kept?.help,
    data: kept?.data,
  });
}

/** A Node system error, such as the rejection of an `fs` call. */
export interface SystemError extends Error {
  readonly code: string;
  readonly errno?: number;
  readonly path?: string;
}

/** Whether `error` carries a system code such as `ENOENT`; with `code`, whether it is that one. */
export function isSystemError(error: unknown, code?: string): error is SystemError {
  if (!(error instanceof Error) || !('code' in error) || error instanceof CodedError) return false;
  return typeof error.code === 'string' && (code === undefined || error.code === code);
}

const SYSTEM_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'resource_exhausted',
  EDQUOT: 'resource_exhausted',
  EMFILE: 'resource_exhausted',
  ENFILE: 'resource_exhausted',
  ENOMEM: 'resource_exhausted',
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  EPIPE: 'unavailable',
  ETIMEDOUT: 'unavailable',
  ENOTFOUND: 'unavailable',
  EAI_AGAIN: 'unavailable',
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
};

const SECRET_PATTERNS: readonly [RegExp, string][] = [
  [
    /\b(authorization|x-registry-auth|x-registry-config|cookie|set-cookie)(["']?\s*[:=]\s*)[^\r\n]+/gi,
    '$1$2[redacted]',
  ],
  [/\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{6,}/gi, '$1 [redacted]'],
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/:@]+:[^\s/@]+@/gi, '$1[redacted]@'],
  [/([?&](?:token|access_token|password|signature|sig)=)[^&\s]+/gi, '$1[redacted]'],
];

/** Replaces credentials in a URL, header or log line; safe on any text. */
export function redact(text: string): string {
  return SECRET_PATTERNS.reduce(
    (redacted, [pattern, replacement]) => redacted.replace(pattern, replacement),
    text,
  );
}
