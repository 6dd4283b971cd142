/**
 * Wire types of the hub's JSON API, the only thing the page imports. Times are milliseconds since 1970.
 *
 *     GET    /api/session                                     who am I, and what is this hub
 *     POST   /api/signup · POST, DELETE /api/session          accounts; the session is a cookie
 *     GET    /api/repositories?namespace=&q=                  repositories the caller may see
 *     POST   /api/repositories                                create
 *     GET, PATCH, DELETE /api/repositories/{namespace}/{name}
 *     GET    /api/tags/{namespace}/{name}?q=&sort=            tags
 *     DELETE /api/tags/{namespace}/{name}?tag=
 *     GET    /api/image/{namespace}/{name}?reference=         one tag or digest: platforms, layers, config
 *     GET    /api/files/{namespace}/{name}?digest=            files of one layer
 *     GET, POST /api/tokens · PATCH, DELETE /api/tokens/{id}
 *     POST   /api/device · POST /api/device/token             a command line signs in: begin, ask how it stands
 *     GET    /api/device?code= · POST /api/device/decision     what waits under a code; approve or refuse it
 *     GET    /api/guide                                       what the first-image guide has seen happen
 *     GET    /api/events                                      server-sent events: pushes and deletions the caller may see
 *
 * A request that changes something carries JSON and comes from the same origin; errors are `ApiError`.
 */

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

/** Who may pull. */
export type Visibility = 'public' | 'private';
/** Which tags may not move once they are pushed. */
export type TagMutability = 'mutable' | 'immutable';

/** A row of the repository list. */
export interface RepositorySummary {
  readonly namespace: string;
  readonly name: string;
  readonly visibility: Visibility;
  readonly description: string;
  readonly createdAt: number;
  readonly pushedAt: number | null;
  /** Bytes of all distinct blobs, compressed. */
  readonly sizeBytes: number;
  readonly tags: number;
  readonly pulls: number;
}

/** One repository. */
export interface RepositoryDetail extends RepositorySummary {
  readonly readme: string;
  readonly tagMutability: TagMutability;
  /** What the caller may do here. */
  readonly rights: readonly ('pull' | 'push' | 'delete' | 'admin')[];
}

/** Body of `POST /api/repositories`. */
export interface CreateRepositoryRequest {
  readonly namespace: string;
  readonly name: string;
  readonly description: string;
  readonly visibility: Visibility;
  readonly readme?: string;
}

/** Body of `PATCH /api/repositories/…`; what is absent stays. Making a repository public needs its name in `confirm`. */
export interface UpdateRepositoryRequest {
  readonly description?: string;
  readonly readme?: string;
  readonly visibility?: Visibility;
  readonly tagMutability?: TagMutability;
  readonly confirm?: string;
}

/** A row of the tag list. */
export interface TagSummary {
  readonly name: string;
  readonly digest: string;
  readonly mediaType: string;
  /** `os/architecture[/variant]`, several for an index. */
  readonly platforms: readonly string[];
  /** Compressed bytes of config and layers of the first platform. */
  readonly sizeBytes: number;
  readonly pushedAt: number;
  readonly pushedBy: string;
  readonly pulledAt: number | null;
}

/** One layer with the instruction that made it. */
export interface LayerDetail {
  /** `null` for an instruction that made no layer. */
  readonly digest: string | null;
  readonly mediaType: string | null;
  readonly sizeBytes: number;
  readonly command: string;
  readonly createdAt: string | null;
  /** File name of an artifact's blob; `''` where there is none. */
  readonly title: string;
}

/** One platform of an image. */
export interface ImageDetail {
  readonly platform: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly createdAt: string | null;
  readonly author: string;
  /** What it is when it is no image: nothing a container is made of, and nobody knows what its layers hold. */
  readonly artifactType: string | null;
  readonly layers: readonly LayerDetail[];
  readonly config: {
    readonly env: readonly string[];
    readonly entrypoint: readonly string[];
    readonly cmd: readonly string[];
    readonly user: string;
    readonly workingDir: string;
    readonly exposedPorts: readonly string[];
    readonly volumes: readonly string[];
    readonly labels: Readonly<Record<string, string>>;
    readonly stopSignal: string;
  };
}

/** Answer of `GET /api/image/…`. */
export interface ReferenceDetail {
  readonly reference: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly pushedAt: number;
  readonly pushedBy: string;
  readonly images: readonly ImageDetail[];
  /** Manifests that name this one as their subject: signatures, SBOMs, attestations. */
  readonly referrers: readonly {
    readonly digest: string;
    readonly artifactType: string;
    readonly sizeBytes: number;
  }[];
}

/** One entry of a layer: `[path, type, sizeBytes, modeOctal, linkTarget?]`; types as in a layer index. */
export type LayerFile = readonly [
  path: string,
  type: string,
  sizeBytes: number,
  mode: string,
  linkTarget?: string,
];

/** Answer of `GET /api/files/…`. */
export interface LayerFiles {
  readonly digest: string;
  readonly files: readonly LayerFile[];
  /** More entries than are sent. */
  readonly isTruncated: boolean;
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
  readonly expiresInDays?: number | null;
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
