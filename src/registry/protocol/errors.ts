/**
 * The only table from our errors to the wire.
 *
 *     code of ours          about (subject.kind)   status  code on the wire
 *     invalid_argument      digest                 400     DIGEST_INVALID
 *                           manifest               400     MANIFEST_INVALID
 *                           repository             400     NAME_INVALID
 *                           tag                    400     TAG_INVALID
 *                           upload                 400     BLOB_UPLOAD_INVALID
 *                           size                   400     SIZE_INVALID
 *                           page                   400     PAGINATION_NUMBER_INVALID
 *                           range                  416     RANGE_INVALID
 *                           else                   400     UNSUPPORTED
 *     not_found             blob                   404     BLOB_UNKNOWN
 *                           manifest, tag          404     MANIFEST_UNKNOWN
 *                           manifest-blob          404     MANIFEST_BLOB_UNKNOWN
 *                           upload                 404     BLOB_UPLOAD_UNKNOWN
 *                           else                   404     NAME_UNKNOWN
 *     unauthenticated                              401     UNAUTHORIZED
 *     permission_denied                            403     DENIED
 *     unimplemented                                405     UNSUPPORTED
 *     conflict, already_exists, failed_precondition 409    DENIED for a tag, else UNSUPPORTED
 *     resource_exhausted    manifest               413     MANIFEST_INVALID
 *                           upload                 413     SIZE_INVALID
 *                           rate                   429     TOOMANYREQUESTS (Retry-After)
 *                           else (disk full)       507     UNKNOWN
 *     unavailable, aborted                         503     UNAVAILABLE (Retry-After)
 *     data_loss, internal, anything else           500     UNKNOWN (logged, no text)
 */
import { CodedError, codeOf, type ErrorCode, type ErrorHelp, messageOf } from '#base/errors/index.ts';

/** Codes of `{"errors": [{code}]}`. */
export type WireCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'PAGINATION_NUMBER_INVALID'
  | 'RANGE_INVALID'
  | 'SIZE_INVALID'
  | 'TAG_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNAVAILABLE'
  | 'UNKNOWN'
  | 'UNSUPPORTED';

/** One error as it is sent. `detail` carries our help: a stable id, the cause, what to do. */
export interface WireError {
  readonly code: WireCode;
  readonly message: string;
  readonly detail?: unknown;
}

/** Status, body and headers of a failure. */
export interface ErrorAnswer {
  readonly status: number;
  readonly body: { readonly errors: readonly WireError[] };
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the cause belongs into the log because the body hides it. */
  readonly hidden: boolean;
}

type Row = readonly [status: number, code: WireCode];
type Rows = Readonly<Record<string, Row>> & { readonly else: Row };

const TABLE: { readonly [C in ErrorCode]: Rows } = {
  invalid_argument: {
    digest: [400, 'DIGEST_INVALID'],
    manifest: [400, 'MANIFEST_INVALID'],
    repository: [400, 'NAME_INVALID'],
    tag: [400, 'TAG_INVALID'],
    upload: [400, 'BLOB_UPLOAD_INVALID'],
    size: [400, 'SIZE_INVALID'],
    page: [400, 'PAGINATION_NUMBER_INVALID'],
    range: [416, 'RANGE_INVALID'],
    else: [400, 'UNSUPPORTED'],
  },
  not_found: {
    blob: [404, 'BLOB_UNKNOWN'],
    manifest: [404, 'MANIFEST_UNKNOWN'],
    tag: [404, 'MANIFEST_UNKNOWN'],
    'manifest-blob': [404, 'MANIFEST_BLOB_UNKNOWN'],
    upload: [404, 'BLOB_UPLOAD_UNKNOWN'],
    else: [404, 'NAME_UNKNOWN'],
  },
  already_exists: { tag: [409, 'DENIED'], else: [409, 'UNSUPPORTED'] },
  conflict: { tag: [409, 'DENIED'], else: [409, 'UNSUPPORTED'] },
  failed_precondition: { tag: [409, 'DENIED'], else: [409, 'UNSUPPORTED'] },
  unauthenticated: { else: [401, 'UNAUTHORIZED'] },
  permission_denied: { else: [403, 'DENIED'] },
  unimplemented: { else: [405, 'UNSUPPORTED'] },
  resource_exhausted: {
    manifest: [413, 'MANIFEST_INVALID'],
    upload: [413, 'SIZE_INVALID'],
    rate: [429, 'TOOMANYREQUESTS'],
    else: [507, 'UNKNOWN'],
  },
  unavailable: { else: [503, 'UNAVAILABLE'] },
  aborted: { else: [503, 'UNAVAILABLE'] },
  data_loss: { else: [500, 'UNKNOWN'] },
  internal: { else: [500, 'UNKNOWN'] },
};

/** What clients print for an error of this kind; the same words as Docker's registry. */
export const DENIED_MESSAGE = 'requested access to the resource is denied';
/** Docker's words when nobody, or nobody we know, asks. */
export const UNAUTHORIZED_MESSAGE = 'authentication required';

const DEFAULT_RETRY_SECONDS = 5;

/** Translates any thrown value. What we did not expect says nothing about itself. */
export function registryErrorFor(error: unknown): ErrorAnswer {
  const code = codeOf(error);
  const coded = error instanceof CodedError ? error : undefined;
  const rows = TABLE[code];
  const [status, wire] = rows[coded?.subject?.kind ?? 'else'] ?? rows.else;
  const hidden = status === 500 || status === 507;
  const detail = detailOf(coded?.help, coded?.data);
  const message = status === 500 ? 'internal error' : status === 507 ? 'no space left' : messageOf(error);
  return {
    status,
    hidden,
    headers: headersFor(status, coded),
    body: { errors: [{ code: wire, message, ...(detail === undefined ? {} : { detail }) }] },
  };
}

function headersFor(status: number, error: CodedError | undefined): Record<string, string> {
  if (status !== 429 && status !== 503) return {};
  const seconds = Number(error?.data?.['retryAfterSeconds'] ?? DEFAULT_RETRY_SECONDS);
  return { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) };
}

function detailOf(help: ErrorHelp | undefined, data: CodedError['data']): unknown {
  if (help === undefined) return data?.['detail'];
  return { id: help.id, cause: help.cause, fix: help.fix };
}
