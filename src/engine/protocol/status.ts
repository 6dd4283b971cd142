/** Errors to the Engine API's wire: the one table. Nothing below the engine knows an HTTP status. */
import {
  CodedError,
  codeOf,
  type ErrorCode,
  type ErrorHelp,
  messageOf,
  primaryError,
} from '#base/errors/index.ts';

const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 400,
  not_found: 404,
  already_exists: 409,
  conflict: 409,
  failed_precondition: 409,
  unauthenticated: 401,
  permission_denied: 403,
  resource_exhausted: 500,
  unavailable: 503,
  aborted: 500,
  data_loss: 500,
  unimplemented: 501,
  internal: 500,
};

/** Subjects of `resource_exhausted` that mean the request itself is too large. */
const REQUEST_SUBJECT = 'request body';

/** The HTTP status for a thrown value. */
export function statusOf(thrown: unknown): number {
  const error = primaryError(thrown);
  if (
    error instanceof CodedError &&
    error.code === 'resource_exhausted' &&
    error.subject?.kind === REQUEST_SUBJECT
  )
    return 413;
  return STATUS[codeOf(error)];
}

/** Docker's error body with our fields beside `message`. */
export interface ErrorBody {
  readonly message: string;
  readonly code?: ErrorCode;
  readonly help?: ErrorHelp;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** The body for a thrown value. What is no `CodedError` and no system error is a bug: its text stays in the log. */
export function errorBody(thrown: unknown): ErrorBody {
  const error = primaryError(thrown);
  const code = codeOf(error);
  if (!(error instanceof CodedError)) {
    return {
      message: code === 'internal' ? 'internal error, see the log of the daemon' : messageOf(error),
      code,
    };
  }
  return {
    message: error.message,
    code,
    ...(error.help === undefined ? {} : { help: error.help }),
    ...(error.data === undefined ? {} : { data: error.data }),
  };
}

/** An error inside a stream of JSON lines that has begun. */
export interface ErrorLine {
  readonly errorDetail: { readonly code?: number; readonly message: string };
  readonly error: string;
  readonly help?: ErrorHelp;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** The line for a thrown value. `errorDetail.code` is a number on Docker's wire (an exit code), so ours goes beside it. */
export function errorLine(error: unknown): ErrorLine {
  const { message, code: _code, ...rest } = errorBody(error);
  const exitCode = rest.data?.['exitCode'];
  return {
    errorDetail: { ...(typeof exitCode === 'number' ? { code: exitCode } : {}), message },
    error: message,
    ...rest,
  };
}
