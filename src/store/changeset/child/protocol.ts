/**
 * Words between the daemon and its children, one JSON object a line, both ways over descriptor 3.
 * Descriptor 0 carries the bytes of a streamed layer in, descriptor 4 those of a streamed changeset out (both framed); not 1,
 * which Node makes non-blocking as soon as a thread is started.
 */
import type { InputCompression, OutputCompression } from '#base/bytes/types.ts';
import type { ErrorCode, ErrorHelp, Subject } from '#base/errors/index.ts';

/** Put a layer onto a directory. */
export interface UnpackRequest {
  readonly kind: 'unpack';
  /** A file, or `undefined` for descriptor 0 (then the bytes are plain). */
  readonly sourcePath: string | undefined;
  readonly compression: InputCompression | 'auto';
  readonly targetDir: string;
  readonly whiteouts: 'overlay' | 'apply' | 'literal';
  readonly lowerDirs: readonly string[];
  readonly indexPath: string | undefined;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly under: string | undefined;
  readonly keepKinds: boolean;
  readonly maxBytes: number | undefined;
  readonly maxInodes: number | undefined;
}

/** Read a directory of changes as a tar. */
export interface PackRequest {
  readonly kind: 'pack';
  readonly dir: string;
  readonly changes: 'overlay' | 'plain';
  readonly against: string | undefined;
  readonly indexPath: string | undefined;
  /** Nowhere (hash only), a file (compressed), or descriptor 4 (plain). */
  readonly to:
    | 'nowhere'
    | 'stream'
    | { readonly path: string; readonly format: OutputCompression; readonly level: number | undefined };
}

/** What a child is asked. */
export type ChildRequest = UnpackRequest | PackRequest;

/** What a finished job found; `blob` only when one was written. */
export interface ChildFacts {
  /** Not for a `literal` archive. */
  readonly diffId?: string;
  readonly tarSizeBytes: number;
  readonly contentSizeBytes: number;
  readonly entries: number;
  readonly impliedDirs?: number;
  readonly blob?: { readonly digest: string; readonly sizeBytes: number };
}

/** What a child answers: progress, then one of the others. */
export type ChildReply =
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'done'; readonly facts: ChildFacts }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly subject?: Subject | undefined;
      readonly help?: ErrorHelp | undefined;
    };

/** Descriptor of the control channel in a child. */
export const CONTROL_FD = 3;

/** Descriptor of a streamed changeset in a child. */
export const OUTPUT_FD = 4;
