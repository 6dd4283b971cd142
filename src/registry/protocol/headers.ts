/** Header and parameter names of the registry protocol, spelled once. */
export const HEADER = {
  apiVersion: 'Docker-Distribution-API-Version',
  contentDigest: 'Docker-Content-Digest',
  uploadId: 'Docker-Upload-UUID',
  subject: 'OCI-Subject',
  tag: 'OCI-Tag',
  filtersApplied: 'OCI-Filters-Applied',
  chunkMinLength: 'OCI-Chunk-Min-Length',
} as const;

/** Value of `Docker-Distribution-API-Version`. */
export const API_VERSION = 'registry/2.0';

/** Makes a `Warning` header value: code 299, no agent, no date. */
export function encodeWarning(text: string): string {
  const quoted = text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&');
  return `299 - "${quoted.slice(0, 4000)}"`;
}
