/** Wire forms of the Docker Engine API that servers and clients share. */
export { Filters, parseFilters } from './filters.ts';
export { formatProgress, formatSize, type Progress, type ProgressLine, progressLine } from './progress.ts';
export { type ErrorBody, type ErrorLine, errorBody, errorLine, statusOf } from './status.ts';
export { parseDuration, parseMoment, parseUnixNanos } from './time.ts';
export { API_VERSION, type ApiVersion, checkApiVersion, MIN_API_VERSION } from './version.ts';
