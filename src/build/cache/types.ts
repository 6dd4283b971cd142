import type { LayerInfo } from '#build/op/types.ts';
import type { KeyComponent } from '#build/types.ts';

/** What a row of `build_cache` holds as JSON. */
export type CacheDocument =
  /** A layer made here. Its own row's key is its primary one. */
  | {
      readonly kind: 'layer';
      readonly id: string;
      readonly name: string;
      readonly components: readonly KeyComponent[];
      readonly layer?: LayerInfo;
      readonly sourceHash?: string;
    }
  /** Another key of the same result. */
  | { readonly kind: 'alias'; readonly key: string }
  /** A step that changed the config only: what counts is when it was first made. */
  | { readonly kind: 'config'; readonly name: string };

/** A row of `build_cache`. */
export interface CacheRow {
  readonly key: string;
  /** `''` for a config step. */
  readonly snapshot: string;
  readonly sizeBytes: number;
  readonly createdAt: number;
  readonly recordId: string;
  readonly document: CacheDocument;
}
