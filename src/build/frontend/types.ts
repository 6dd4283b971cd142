import type { Edge, Graph, SourceRange } from '#build/graph/types.ts';
import type { ContainerConfig, ImageConfig } from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { Platform } from '#oci/platform/index.ts';

/** What a frontend may ask while it plans. */
export interface FrontendBridge {
  /** Config of a base image: the local one, pulled first when missing or when `pull` says so. */
  resolveImageConfig(
    reference: string,
    options: { readonly platform: Platform; readonly pull: 'missing' | 'always' },
  ): Promise<{ readonly imageId: Digest; readonly reference: string; readonly config: ImageConfig }>;
}

/** What a frontend is told about the build. */
export interface FrontendOptions {
  /** Text of the Dockerfile and the name errors show. */
  readonly dockerfile: { readonly text: string; readonly name: string };
  readonly buildArgs: Readonly<Record<string, string | null>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly target?: string;
  readonly platform: Platform;
  readonly buildPlatform: Platform;
  readonly noCache: boolean;
  readonly pull: 'missing' | 'always';
  readonly network: 'none' | 'host' | 'default';
  readonly extraHosts: readonly string[];
  /** Classic builder: no BuildKit-only flags, classic error texts, `Step n/m` texts. */
  readonly dialect: 'classic' | 'buildkit';
}

/**
 * One instruction of a stage that is built. The first step of a stage is its FROM (an ARG before the first FROM comes
 * even before that, in the first stage). Triggers of the base (ONBUILD) follow the FROM as steps with `isTrigger`: they
 * are executed and have history, but no `Step` line and no number of their own (theirs is the FROM's).
 */
export interface PlannedStep {
  /** 1-based over all stages that are built. */
  readonly number: number;
  readonly total: number;
  /** As `Step 1/3 : <text>` shows it: as written, continuation lines joined. */
  readonly text: string;
  readonly keyword: string;
  /** The step's filesystem vertex, when it makes a layer; `undefined` for a step that changes the config only. */
  readonly vertex: Digest | undefined;
  /** Filesystem state after the step (`undefined`: still empty). */
  readonly state: Edge | undefined;
  /** Container defaults after the step. */
  readonly config: ContainerConfig;
  /**
   * `undefined` for FROM and an ARG before it. `createdBy` of ADD and COPY holds `CONTENT_HASH` in the classic dialect, to be
   * replaced by `file:<hex>`, `dir:<hex>` or `multi:<hex>`. `emptyLayer` is what the text says: in the classic dialect a
   * step whose layer turns out to hold no change is empty, too (a WORKDIR that exists, `RUN true`).
   */
  readonly history:
    | { readonly createdBy: string; readonly emptyLayer: boolean; readonly comment?: string }
    | undefined;
  readonly isTrigger?: true;
  readonly author?: string;
  readonly ranges: readonly SourceRange[];
  /** Lines to print below the step, such as `# Executing 2 build triggers`. */
  readonly notes: readonly string[];
}

/** A stage that is built, with its steps in order. */
export interface PlannedStage {
  readonly index: number;
  readonly name: string | undefined;
  readonly base:
    | { readonly kind: 'scratch' }
    | { readonly kind: 'stage'; readonly index: number }
    | {
        readonly kind: 'image';
        readonly reference: string;
        readonly imageId: Digest;
        readonly config: ImageConfig;
        readonly vertex: Digest;
      };
  readonly platform: Platform;
  readonly steps: readonly PlannedStep[];
  readonly state: Edge | undefined;
  readonly config: ContainerConfig;
}

/** A Dockerfile, planned: only stages the target needs, in the order they are written. */
export interface BuildPlan {
  readonly graph: Graph;
  readonly stages: readonly PlannedStage[];
  readonly target: number;
  readonly platform: Platform;
  /** `--build-arg` names no ARG used. */
  readonly unusedArgs: readonly string[];
  readonly warnings: readonly {
    readonly rule: string;
    readonly message: string;
    readonly line: number;
    readonly url?: string;
  }[];
}

/** Plans a Dockerfile. @throws {DockerfileSyntaxError} `invalid_argument` with Docker's text and the line. */
export type Frontend = (options: FrontendOptions, bridge: FrontendBridge) => Promise<BuildPlan>;
