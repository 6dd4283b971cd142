/** Layers between trees and tar streams. */
export { type ChangesetOptions, createChangesets } from './changesets.ts';
export type * from './types.ts';
