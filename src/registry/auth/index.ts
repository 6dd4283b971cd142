export { type Authorizer, type AuthorizerOptions, createAuthorizer, type TokenSender } from './authorizer.ts';
export { type Challenge, parseChallenges } from './challenge.ts';
export {
  type CredentialStore,
  createCredentialStore,
  type DockerConfig,
  dockerConfigPath,
  loadDockerConfig,
  normalizeRegistry,
  type StoredPlace,
} from './docker-config.ts';
export {
  credentialsFor,
  credentialsFrom,
  decodeRegistryAuth,
  decodeRegistryConfig,
  encodeRegistryAuth,
  encodeRegistryConfig,
} from './header.ts';
export { type CredentialHelper, createCredentialHelper } from './helper.ts';
export { isTrustedRealm } from './realm.ts';
