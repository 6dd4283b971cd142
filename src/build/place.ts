import { CodedError } from '#base/errors/index.ts';
import type { Vertex } from '#build/graph/types.ts';

/**
 * Adds the line of the Dockerfile to the failure of a build, where its texts do not name one yet. The message stays
 * Docker's.
 */
export function placeFailure(error: unknown, vertex: Vertex | undefined): unknown {
  if (!(error instanceof CodedError)) return error;
  const line = vertex?.ranges[0]?.start ?? error.data?.['startLine'];
  const { help } = error;
  const isPlaced = /\bline \d/.test(error.message) || /\bline \d+ of the Dockerfile/.test(help?.cause ?? '');
  if (typeof line !== 'number' || isPlaced) return error;
  const place = `line ${line} of the Dockerfile`;
  return new CodedError(error.code, error.message, {
    cause: error,
    subject: error.subject,
    data: { ...error.data, line },
    help: {
      id: help?.id ?? 'build/failed',
      cause: help?.cause === undefined ? `${place} failed` : `${place}: ${help.cause}`,
      ...(help?.fix === undefined ? {} : { fix: help.fix }),
    },
  });
}
