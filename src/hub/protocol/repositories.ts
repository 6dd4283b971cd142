/** Wire types of repositories: what people say about them, their tags, their rules. */

/** Who may pull. */
export type Visibility = 'public' | 'private';
/** Which tags may not move once they are pushed: none, all, or those that fit a pattern. */
export type TagMutability = 'mutable' | 'immutable' | 'patterns';

/** What a repository is about; up to three of them. */
export const CATEGORIES = [
  'Base images',
  'Data science',
  'Databases',
  'Developer tools',
  'Languages & frameworks',
  'Machine learning',
  'Message queues',
  'Monitoring',
  'Networking',
  'Security',
  'Web servers',
  'Other',
] as const;

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
  readonly stars: number;
}

/** One repository. */
export interface RepositoryDetail extends RepositorySummary {
  readonly readme: string;
  readonly categories: readonly string[];
  readonly tagMutability: TagMutability;
  /** Tags that may not move when `tagMutability` is `patterns`; `*` stands for any text, `?` for one character. */
  readonly immutablePatterns: readonly string[];
  /** Whether the caller has given it a star. */
  readonly isStarred: boolean;
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

/** Body of `PATCH /api/repositories/…`; what is absent stays. A change of `visibility` needs the full name in `confirm`. */
export interface UpdateRepositoryRequest {
  readonly description?: string;
  readonly readme?: string;
  readonly categories?: readonly string[];
  readonly visibility?: Visibility;
  readonly tagMutability?: TagMutability;
  readonly immutablePatterns?: readonly string[];
  readonly confirm?: string;
}

/** Body of `POST /api/move/…`: another name, another owner, or both. `confirm` is the full name it has now. */
export interface MoveRepositoryRequest {
  readonly namespace?: string;
  readonly name?: string;
  readonly confirm: string;
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
  /** It cannot be moved to another image. */
  readonly isImmutable: boolean;
  /** A signature is attached; nobody has verified it here. */
  readonly isSigned: boolean;
}

/** How tags are sorted: last pushed first, by name, largest first. */
export type TagOrder = 'newest' | 'name' | 'size';

/** Answer of `GET /api/tags/…`. */
export interface TagPage {
  readonly tags: readonly TagSummary[];
  /** How many there are in all, with the filter. */
  readonly total: number;
  /** For `?cursor=`; `null` at the end. */
  readonly next: string | null;
}

/** Body of `POST /api/tags-preview/…` and `POST /api/tags-delete/…`. */
export interface RemoveTagsRequest {
  readonly tags: readonly string[];
}

/** What goes, or went, with some tags. */
export interface TagRemoval {
  readonly tags: readonly string[];
  /** Images that no tag and no index names then; they go too. */
  readonly manifests: readonly string[];
  /** Compressed bytes that nothing else on this hub needs. */
  readonly freedBytes: number;
}

/**
 * When a tag goes: its last push is more than `value` days ago; neither a push nor a pull came for `value` days; or it is
 * not among the `value` that were pushed last.
 */
export type RetentionCondition = 'pushed' | 'unused' | 'beyond';

/** One reason for tags to go. */
export interface RetentionRule {
  /** Tags it is about. */
  readonly pattern: string;
  readonly condition: RetentionCondition;
  readonly value: number;
}

/** Which tags go by themselves, once an hour. A tag goes when a rule says so, unless it is kept or may not move. */
export interface RetentionPolicy {
  readonly rules: readonly RetentionRule[];
  /** Patterns of tags that never go. */
  readonly keep: readonly string[];
}

/** Answer of `GET` and `PUT /api/retention/…`. */
export interface RetentionState {
  readonly policy: RetentionPolicy;
  /** When the rules were last applied, and how many tags went. */
  readonly ranAt: number | null;
  readonly removedTags: number;
}

/** A tag that a rule is about, and what becomes of it. */
export interface RetentionDecision {
  readonly tag: string;
  readonly pushedAt: number;
  readonly pulledAt: number | null;
  /** The rule that says so, counted from 0. */
  readonly rule: number;
  /** In words, such as `pushed 41 days ago`. */
  readonly reason: string;
}

/** Answer of `POST /api/retention-preview/…` (body: a `RetentionPolicy`) and `POST /api/retention-run/…`. */
export interface RetentionPreview {
  readonly goes: readonly RetentionDecision[];
  /** Tags a rule is about that stay, because they are kept or may not move. */
  readonly spared: readonly RetentionDecision[];
  /** All tags of the repository. */
  readonly total: number;
  readonly removal: TagRemoval;
}
