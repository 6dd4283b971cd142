/** Wire types of one tag or digest: its platforms, and what is found out about an image when its page asks for it. */

/** One layer with the instruction that made it. */
export interface LayerDetail {
  /** `null` for an instruction that made no layer. */
  readonly digest: string | null;
  /** Place among the layers of the image, from 0; `null` for an instruction that made none. */
  readonly position: number | null;
  readonly mediaType: string | null;
  readonly sizeBytes: number;
  /** As the history has it. */
  readonly command: string;
  /** As a Dockerfile would have it, where the history can be read. */
  readonly instruction: string;
  readonly createdAt: string | null;
  /** File name of an artifact's blob; `''` where there is none. */
  readonly title: string;
}

/** How a container is asked whether it is well. Durations are nanoseconds, 0 where the default holds. */
export interface HealthcheckDetail {
  readonly test: readonly string[];
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly retries: number;
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
    readonly shell: readonly string[];
    readonly onBuild: readonly string[];
    readonly healthcheck: HealthcheckDetail | null;
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

/**
 * An answer that needs the lists of files of all layers. They are made once for each layer, in the background; until
 * then the answer says how far that is, and is asked for again.
 */
export type Indexed<T> =
  | ({ readonly state: 'ready'; readonly problems: readonly LayerProblem[] } & T)
  | {
      readonly state: 'indexing';
      readonly readyLayers: number;
      readonly layers: number;
      readonly readBytes: number;
      readonly totalBytes: number;
    };

/** A layer whose files are not known; the answer is as if it were empty. */
export interface LayerProblem {
  readonly layer: number;
  readonly message: string;
}

/** One file of an image or layer. `type`: f file, d directory, l symlink, h hard link, c, b, p, w deleted, o emptied. */
export interface FileEntry {
  readonly path: string;
  readonly type: string;
  /** Of a folder: of everything in it. */
  readonly sizeBytes: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
  /** Place of the layer that it is from. */
  readonly layer: number;
  readonly link: string;
  /** Entries directly in a folder. */
  readonly children: number;
}

/** Answer of `GET /api/tree/…`: a folder, or with `q` what was found. */
export interface FileListing {
  readonly entries: readonly FileEntry[];
  /** All there are, of which `entries` may be only the first. */
  readonly total: number;
}

/** Answer of `GET /api/file/…`: the beginning of a file. */
export interface FilePreview {
  /** Where links led. */
  readonly path: string;
  readonly layer: number;
  readonly sizeBytes: number;
  readonly isBinary: boolean;
  readonly text: string;
  /** There is more than is shown. */
  readonly isTruncated: boolean;
}

/** Bytes of a layer that a later one made useless. */
export interface WastedPath {
  readonly path: string;
  readonly sizeBytes: number;
  readonly files: number;
  /** `rewritten`: replaced by the same content, as a change of mode or owner does. */
  readonly kind: 'deleted' | 'replaced' | 'rewritten';
  /** Place of the layer that did it. */
  readonly by: number;
}

/** What one layer holds, uncompressed, and what of it cannot be seen any more. */
export interface LayerWaste {
  readonly files: number;
  readonly contentBytes: number;
  readonly wastedBytes: number;
  /** The largest first. */
  readonly paths: readonly WastedPath[];
  /** All there are, of which `paths` may be only the first. */
  readonly total: number;
}

/** Answer of `GET /api/waste/…`. */
export interface WasteReport {
  readonly layers: readonly LayerWaste[];
  readonly contentBytes: number;
  readonly wastedBytes: number;
}

/** What an attached document is about, as far as its types tell. */
export type AttachedKind = 'sbom' | 'provenance' | 'signature' | 'vulnerabilities' | 'dockerfile' | 'other';

/** One blob of an attached artifact. */
export interface AttachedBlob {
  readonly digest: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly title: string;
  /** Of an in-toto statement. */
  readonly predicateType: string;
  readonly kind: AttachedKind;
}

/** Something that names an image: through the referrers, beside it in its index, or by cosign's tags. */
export interface Attached {
  readonly digest: string;
  readonly via: 'referrer' | 'index' | 'tag';
  /** `index`: it is about all platforms. */
  readonly subject: 'image' | 'index';
  readonly artifactType: string;
  readonly kind: AttachedKind;
  readonly sizeBytes: number;
  readonly createdAt: string | null;
  readonly annotations: Readonly<Record<string, string>>;
  readonly blobs: readonly AttachedBlob[];
}

/** Answer of `GET /api/document/…`: a manifest or a small blob as text. */
export interface DocumentText {
  readonly digest: string;
  readonly sizeBytes: number;
  /** `null` when it is not text, or too large to be shown. */
  readonly text: string | null;
  /** What a signed envelope carries, decoded. */
  readonly payload: string | null;
}

/** Answer of `GET /api/dockerfile/…`. */
export interface DockerfileDetail {
  /** `carried`: whoever pushed the image attached it; `reconstructed`: read off the history of the image. */
  readonly kind: 'carried' | 'reconstructed' | 'none';
  /** Where it was found. */
  readonly source: string;
  readonly lines: readonly DockerfileLine[];
  /** What the history does not tell. */
  readonly gaps: readonly string[];
}

/** A line, and the place of the layer it made. */
export interface DockerfileLine {
  readonly text: string;
  readonly layer: number | null;
}

/** Another image of this hub. */
export interface RelatedImage {
  readonly repository: string;
  readonly tags: readonly string[];
  readonly digest: string;
  /** Layers that both have, from the first on. */
  readonly sharedLayers: number;
  readonly layers: number;
}

/** Answer of `GET /api/family/…`: only what the caller may see. */
export interface ImageFamily {
  /** Images this one begins with, the nearest first. */
  readonly uses: readonly RelatedImage[];
  /** Images with the same layers. */
  readonly twins: readonly RelatedImage[];
  /** Images that begin with this one, the newest first. */
  readonly usedBy: readonly RelatedImage[];
  /** There may be more that were not looked at. */
  readonly isTruncated: boolean;
}
