/** The distribution protocol's tables: endpoints, headers, errors, ranges. The only copy. */
export { type Endpoint, METHODS, matchEndpoint } from './endpoints.ts';
export {
  DENIED_MESSAGE,
  type ErrorAnswer,
  registryErrorFor,
  UNAUTHORIZED_MESSAGE,
  type WireCode,
  type WireError,
} from './errors.ts';
export { API_VERSION, encodeWarning, HEADER } from './headers.ts';
export { type ByteRange, encodeUploadRange, parseByteRange, parseChunkRange } from './range.ts';
