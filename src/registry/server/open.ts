/** A registry without accounts: everybody may do everything. For one machine, behind loopback. */
import type { Authenticator, Authorizer, Identity, Right } from './types.ts';

const EVERYTHING: ReadonlySet<Right> = new Set<Right>(['pull', 'push', 'overwrite', 'delete']);
const ANYBODY: Identity = { subject: { name: '' }, covers: () => true };

/** Accepts every request, with or without credentials. */
export const openAuthenticator: Authenticator = {
  open: true,
  authenticate: () => Promise.resolve(ANYBODY),
  challenge: () => undefined,
};

/** Allows everything. */
export const openAuthorizer: Authorizer = { rightsOf: () => EVERYTHING };
