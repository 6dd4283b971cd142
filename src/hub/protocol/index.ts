/**
 * Wire types of the hub's JSON API, the only thing the page imports. Times are milliseconds since 1970.
 *
 *     GET    /api/session                                     who am I, and what is this hub
 *     POST   /api/signup · POST, DELETE /api/session          accounts; the session is a cookie
 *     GET    /api/repositories?namespace=&q=&category=              repositories the caller may see
 *     POST   /api/repositories                                create
 *     GET, PATCH, DELETE /api/repositories/{namespace}/{name}
 *     POST   /api/move/{namespace}/{name}                     rename, or give to another account
 *     PUT, DELETE /api/stars/{namespace}/{name}
 *     GET    /api/tags/{namespace}/{name}?q=&sort=&limit=&cursor=   tags, in pages
 *     DELETE /api/tags/{namespace}/{name}?tag=
 *     POST   /api/tags-preview/{namespace}/{name}             what would go with some tags
 *     POST   /api/tags-delete/{namespace}/{name}
 *     GET, PUT /api/retention/{namespace}/{name}              which tags go by themselves
 *     POST   /api/retention-preview/{namespace}/{name}        which would go, and why
 *     POST   /api/retention-run/{namespace}/{name}            apply the rules now
 *     GET    /api/image/{namespace}/{name}?reference=         one tag or digest: platforms, layers, config
 *     GET    /api/tree/{namespace}/{name}?image=&layer=&path=&q=   a folder of an image or of one layer, or a search
 *     GET    /api/file/{namespace}/{name}?image=&layer=&path=      the beginning of a file
 *     GET    /api/waste/{namespace}/{name}?image=                  what later layers made useless
 *     GET    /api/dockerfile/{namespace}/{name}?image=&index=      attached, or read off the history
 *     GET    /api/attached/{namespace}/{name}?image=&index=        SBOMs, provenance, signatures, whatever refers to it
 *     GET    /api/document/{namespace}/{name}?digest=              a manifest or small blob as text
 *     GET    /api/family/{namespace}/{name}?image=                 images it builds on, images that build on it
 *     GET, POST /api/tokens · PATCH, DELETE /api/tokens/{id}
 *     POST   /api/device · POST /api/device/token             a command line signs in: begin, ask how it stands
 *     GET    /api/device?code= · POST /api/device/decision     what waits under a code; approve or refuse it
 *     GET    /api/guide                                       what the first-image guide has seen happen
 *     GET    /api/events                                      server-sent events: pushes and deletions the caller may see
 *
 * A request that changes something carries JSON and comes from the same origin; errors are `ApiError`.
 */
export type * from './image.ts';
export * from './repositories.ts';

/** Who is signed in. */
export interface Account {
  readonly username: string;
  readonly email: string;
  readonly isAdmin: boolean;
  readonly createdAt: number;
}

/** Answer of `GET /api/session`. */
export interface SessionInfo {
  readonly account: Account | null;
  /** No account exists yet: the first one becomes the administrator. */
  readonly isFirstRun: boolean;
  /** Whether people may sign up by themselves. */
  readonly allowsSignUp: boolean;
  /** Host as clients write it before a repository, such as `localhost:5080`. */
  readonly registryHost: string;
  readonly version: string;
  /** The hub takes no pushes and no changes for now. */
  readonly isReadOnly: boolean;
}

/** Body of `POST /api/signup`. */
export interface SignUpRequest {
  readonly username: string;
  readonly email: string;
  readonly password: string;
}

/** Body of `POST /api/session`; `login` is a username or an email. */
export interface SignInRequest {
  readonly login: string;
  readonly password: string;
}

/** What a personal access token may do. */
export type TokenScope = 'read' | 'write' | 'delete';

/** A personal access token; its secret is shown once, when it is made. */
export interface AccessToken {
  readonly id: string;
  readonly description: string;
  readonly scope: TokenScope;
  /** Limited to these repositories; empty: all of the account. */
  readonly repositories: readonly string[];
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly lastUsedAt: number | null;
  readonly isActive: boolean;
}

/** Body of `POST /api/tokens`. */
export interface CreateTokenRequest {
  readonly description: string;
  readonly scope: TokenScope;
  readonly repositories?: readonly string[];
  /** Instead of `expiresAt`; without either it has no end. */
  readonly expiresInDays?: number | null;
  readonly expiresAt?: number | null;
}

/** Answer of `POST /api/tokens`. */
export interface CreatedToken {
  readonly token: AccessToken;
  readonly secret: string;
}

/** Answer of `POST /api/device`, in the words of RFC 8628; times are seconds. The body may name the `client`. */
export interface DeviceLogin {
  readonly device_code: string;
  /** Such as `WDJB-MJHT`; people compare or type it. */
  readonly user_code: string;
  readonly verification_uri: string;
  /** With the code filled in. */
  readonly verification_uri_complete: string;
  readonly expires_in: number;
  readonly interval: number;
}

/**
 * Answer of `POST /api/device/token` (body `{device_code}`) once it was approved; it is given once. Until then the
 * answer is 400 with code `authorization_pending`, `slow_down` (ask 5 seconds less often), `expired_token` or
 * `access_denied`.
 */
export interface DeviceCredentials {
  readonly username: string;
  /** A personal access token. */
  readonly secret: string;
}

/** Answer of `GET /api/device?code=`. */
export interface PendingDevice {
  /** What the command line calls itself. */
  readonly client: string;
  readonly address: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** Body of `POST /api/device/decision`. */
export interface DeviceDecision {
  readonly code: string;
  readonly approve: boolean;
}

/** What the first-image guide has seen this account do. */
export interface GuideState {
  readonly signedInByClient: boolean;
  readonly createdRepository: boolean;
  readonly pushedTag: boolean;
  readonly repository: string | null;
  /** The tag that was pushed last. */
  readonly tag: string | null;
}

/** A server-sent event (`data:` is this as JSON). */
export type HubEvent =
  | {
      readonly kind: 'push';
      readonly repository: string;
      readonly tags: readonly string[];
      readonly digest: string;
    }
  | { readonly kind: 'delete'; readonly repository: string; readonly tag: string | null }
  | { readonly kind: 'move'; readonly repository: string; readonly to: string }
  | { readonly kind: 'signin'; readonly username: string };

/** Body of every error. */
export interface ApiError {
  readonly error: {
    readonly code: string;
    readonly message: string;
    /** Form field at fault. */
    readonly field?: string;
    readonly cause?: string;
    readonly fix?: readonly string[];
  };
}
