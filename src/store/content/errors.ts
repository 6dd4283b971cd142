import { CodedError } from '#base/errors/index.ts';
import type { Digest } from '#oci/digest/index.ts';

/** Bytes that are not the ones a digest or size promised. */
export class DigestMismatchError extends CodedError {
  readonly expected: string;
  readonly actual: string;
  readonly readBytes: number;

  constructor(options: { readonly expected: string; readonly actual: string; readonly readBytes: number }) {
    super(
      'data_loss',
      `content is not what was promised: expected ${options.expected}, got ${options.actual} after ${options.readBytes} bytes`,
      {
        subject: { kind: 'blob', name: options.expected },
        help: {
          id: 'content/digest-mismatch',
          cause: 'the bytes were changed on the way, or the other side stores wrong bytes under this digest',
          fix: ['try again; if it happens again, push the image to that registry anew'],
        },
      },
    );
    this.name = 'DigestMismatchError';
    this.expected = options.expected;
    this.actual = options.actual;
    this.readBytes = options.readBytes;
  }
}

/** The error of a blob that has no row. */
export function blobNotFound(digest: Digest): CodedError {
  return new CodedError('not_found', `blob ${digest} is not in the store`, {
    subject: { kind: 'blob', name: digest },
  });
}

/** The error of a blob whose row is there but whose file is not. */
export function blobLost(digest: Digest, cause: unknown): CodedError {
  return new CodedError('data_loss', `blob ${digest} is damaged: its file is missing`, {
    cause,
    subject: { kind: 'blob', name: digest },
    help: {
      id: 'content/blob-lost',
      cause: 'somebody removed files below the data root, or the disk lost them',
      fix: ['pull or build the image again'],
    },
  });
}

/** The error of a blob whose file holds other bytes than those its digest names. */
export function blobDamaged(digest: Digest, cause?: unknown): CodedError {
  return new CodedError('data_loss', `blob ${digest} is damaged: its file has other bytes`, {
    cause,
    subject: { kind: 'blob', name: digest },
    help: {
      id: 'content/blob-damaged',
      cause:
        'somebody changed files below the data root, or the disk gives back other bytes than were written',
      fix: [
        'pull the image again, which replaces them; if it was built here, build it again',
        'check the disk',
      ],
    },
  });
}
