/** Layers between trees and tar streams. */
export { createChangesets } from './changesets.ts';
export type * from './types.ts';
