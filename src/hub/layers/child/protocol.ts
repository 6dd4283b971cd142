import type { ErrorCode } from '#base/errors/index.ts';
import type { ScanFacts } from '../scan.ts';

/** What a child does with the layer it is fed. */
export type ChildRequest =
  | { readonly kind: 'list' }
  | { readonly kind: 'excerpt'; readonly offset: number; readonly sizeBytes: number };

/** How it went. */
export type ChildEnd = { readonly facts: ScanFacts } | { readonly code: ErrorCode; readonly message: string };
