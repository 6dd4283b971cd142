/** What the engine is. */
export interface EngineFacts {
  readonly name: string;
  readonly version: string;
  readonly commit: string;
  /** RFC 3339. */
  readonly buildTime: string;
  /** A random id kept in the root directory. */
  readonly id: string;
  readonly rootDir: string;
  readonly storageDriver: string;
  readonly debug: boolean;
  readonly labels: readonly string[];
  readonly runtime: { readonly name: string; readonly path: string; readonly version: string };
  readonly cgroupDriver: 'cgroupfs' | 'systemd';
  readonly seccomp: boolean;
  readonly insecureRegistries: readonly string[];
  readonly mirrors: readonly string[];
  readonly proxy: { readonly http?: string; readonly https?: string; readonly no?: string };
}

/** Numbers of `GET /info`. */
export interface Counts {
  readonly running: number;
  readonly paused: number;
  readonly stopped: number;
  readonly images: number;
}

/** Parts of `GET /system/df`, already in the wire form of their list routes. */
export interface DiskUsage {
  readonly layersSize: number;
  readonly images: readonly object[];
  readonly containers: readonly object[];
  readonly volumes: readonly object[];
  readonly buildCache: readonly object[];
}

/** Which parts of the usage are wanted. */
export interface DiskUsageParts {
  readonly images: boolean;
  readonly containers: boolean;
  readonly volumes: boolean;
  readonly buildCache: boolean;
}

/** What the system routes need. */
export interface SystemBackend {
  readonly facts: EngineFacts;
  counts(): Counts;
  listenerCount(): number;
  diskUsage(parts: DiskUsageParts): Promise<DiskUsage>;
}
