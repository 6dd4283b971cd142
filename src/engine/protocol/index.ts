export { Filters, parseFilters } from './filters.ts';
export { type ErrorBody, type ErrorLine, errorBody, errorLine, statusOf } from './status.ts';
export { API_VERSION, type ApiVersion, checkApiVersion, MIN_API_VERSION } from './version.ts';
