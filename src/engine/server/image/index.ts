export type { ImageBackend, SearchHit } from './backend.ts';
export { type ImageSummary, summarizeImages } from './list.ts';
export { ProgressWriter } from './progress-writer.ts';
export { createImageRoutes } from './routes.ts';
export { createRegistrySearch } from './search.ts';
