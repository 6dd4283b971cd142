/**
 * The build graph: frozen plain data. A vertex is one op with input edges; its digest covers the op and the digests of
 * its inputs, so two builds that plan the same thing have the same digest. Shaped so that BuildKit's LLB
 * (source, exec, file, merge, diff) maps onto it one to one.
 */
import type { Digest } from '#oci/digest/index.ts';
import type { Platform } from '#oci/platform/index.ts';

/** Output `index` of a vertex. */
export interface Edge {
  readonly vertex: Digest;
  readonly index: number;
}

/** Where the graph meets the outside world. */
export type SourceOp =
  /** The empty tree: root of a stage `FROM scratch` and of inline files. Every exec and file op has a root as input 0. */
  | { readonly kind: 'scratch' }
  /** A base image; `reference` is canonical, or pinned by digest. */
  | {
      readonly kind: 'image';
      readonly reference: string;
      readonly platform: Platform;
      readonly pull: 'missing' | 'always';
    }
  /** The build context or a named one; only `followPaths` and what ignore patterns leave count. */
  | { readonly kind: 'local'; readonly name: string }
  | {
      readonly kind: 'git';
      readonly url: string;
      readonly ref?: string;
      readonly subdir?: string;
      readonly keepGitDir: boolean;
    }
  | { readonly kind: 'http'; readonly url: string; readonly checksum?: Digest; readonly filename: string };

/** Runs a process in the tree of input 0. */
export interface ExecOp {
  readonly kind: 'exec';
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly network: 'none' | 'host' | 'default';
  readonly security: 'sandbox' | 'insecure';
  readonly hostname?: string;
  readonly extraHosts?: readonly string[];
  /** Environment that is given to the process but is neither in the key nor the history (proxy variables). */
  readonly hiddenEnv?: readonly string[];
  /** Input 0 is the root; mounts refer to further inputs. The next issue fills these. */
  readonly mounts?: readonly ExecMount[];
}

/** A mount of an exec op. */
export interface ExecMount {
  readonly type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
  readonly target: string;
  readonly source?: string;
  readonly input?: number;
  readonly id?: string;
  readonly readonly: boolean;
  readonly options?: Readonly<Record<string, string>>;
}

/** One action of a file op; actions run in order on input 0 and make one layer. */
export type FileAction =
  | {
      readonly kind: 'copy';
      /** Input that holds the sources; paths are relative to its root. */
      readonly input: number;
      readonly sources: readonly string[];
      readonly destination: string;
      /** Destination was written with a trailing slash or there are several sources. */
      readonly destinationIsDir: boolean;
      readonly chown?: string;
      readonly chmod?: string;
      /** ADD: unpack local archives. */
      readonly unpack: boolean;
      readonly exclude?: readonly string[];
      readonly parents: boolean;
      /** COPY --from and ADD follow no links at the source; wildcards may match nothing in BuildKit, never in classic. */
      readonly allowEmptyWildcard: boolean;
      readonly createdBy: 'ADD' | 'COPY';
      readonly link: boolean;
    }
  | {
      readonly kind: 'write';
      readonly path: string;
      readonly content: string;
      readonly modeOctal: string;
      readonly chown?: string;
    }
  | {
      readonly kind: 'mkdir';
      readonly path: string;
      readonly modeOctal: string;
      readonly parents: boolean;
      readonly chown?: string;
    }
  | { readonly kind: 'remove'; readonly path: string; readonly allowMissing: boolean };

/** Changes the tree of input 0 without running anything in it. */
export interface FileOp {
  readonly kind: 'file';
  readonly actions: readonly FileAction[];
  /** cwd of the stage: relative destinations and `chown` names are resolved in input 0. */
  readonly cwd: string;
}

/** What a vertex does. */
export type Op = { readonly kind: 'source'; readonly source: SourceOp } | ExecOp | FileOp;

/** Source lines a vertex comes from, for errors with an excerpt. Lines are 1-based, inclusive. */
export interface SourceRange {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** A node of the graph: an op, what goes into it, and how people are shown it. */
export interface Vertex {
  readonly digest: Digest;
  readonly op: Op;
  readonly inputs: readonly Edge[];
  /** What people are shown, such as `RUN apt-get update`. Not part of the digest. */
  readonly name: string;
  readonly ranges: readonly SourceRange[];
  /** `--no-cache`: run even on a hit. */
  readonly ignoreCache: boolean;
  readonly platform?: Platform;
}

/** Vertices by digest, in an order in which inputs come first. */
export interface Graph {
  readonly vertices: ReadonlyMap<Digest, Vertex>;
}
