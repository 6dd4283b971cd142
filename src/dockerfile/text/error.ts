import { CodedError, type ErrorHelp, messageOf } from '#base/errors/index.ts';
import type { LineRange } from './types.ts';

/** A Dockerfile that cannot be read or planned; `range` says where. Its code is `invalid_argument` unless a limit was hit. */
export class DockerfileSyntaxError extends CodedError {
  readonly range: LineRange | undefined;

  constructor(
    message: string,
    range: LineRange | undefined,
    options: { readonly cause?: unknown; readonly help?: ErrorHelp } = {},
  ) {
    const cause = options.cause instanceof CodedError ? options.cause : undefined;
    super(cause?.code ?? 'invalid_argument', message, {
      cause: options.cause,
      help: options.help ?? cause?.help,
      data: range === undefined ? undefined : { startLine: range.start, endLine: range.end },
    });
    this.name = 'DockerfileSyntaxError';
    this.range = range;
  }
}

/** Gives an error its place, unless it has one already. */
export function locate(error: unknown, range: LineRange): unknown {
  if (error instanceof DockerfileSyntaxError && error.range !== undefined) return error;
  if (!(error instanceof CodedError)) return error;
  return new DockerfileSyntaxError(messageOf(error), range, { cause: error });
}
