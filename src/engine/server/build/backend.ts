import type { Builder } from '#build/types.ts';
import type { EventPublisher } from '../events/index.ts';

/** What the build routes need. */
export interface BuildBackend {
  readonly builder: Pick<Builder, 'build' | 'pruneCache' | 'listCache'>;
  readonly events: EventPublisher;
}
