/** What one registry host accepts from us; as in `X-Registry-Auth`. */
export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  /** Refresh token of an OAuth login. */
  readonly identityToken?: string;
  /** Bearer token to be used as it is. */
  readonly registryToken?: string;
}

/** Finds the credentials for a registry host (`docker.io`, `localhost:5000`). */
export type CredentialSource = (registry: string) => Promise<Credentials | undefined>;
