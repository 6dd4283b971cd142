export { createRegistryClient } from './client.ts';
export { isTransient, NetworkError, RegistryResponseError } from './errors.ts';
export { withRetries } from './session.ts';
