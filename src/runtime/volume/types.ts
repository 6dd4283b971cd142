/** A named or anonymous volume. */
export interface Volume {
  readonly name: string;
  readonly driver: 'local';
  readonly mountpoint: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  readonly anonymous: boolean;
  readonly createdAt: Date;
}

/** Named volumes under `volumes/<name>/_data`. Names match `[a-zA-Z0-9][a-zA-Z0-9_.-]+`. */
export interface VolumeStore {
  listVolumes(): readonly Volume[];
  findVolume(name: string): Volume | undefined;
  /** @throws `not_found` with Docker's text `get x: no such volume`. */
  getVolume(name: string): Volume;
  /** Idempotent for the same name. No name: an anonymous volume with a 64-hex name. */
  ensureVolume(options: {
    readonly name?: string;
    readonly driver?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly options?: Readonly<Record<string, string>>;
  }): Promise<Volume>;
  /** @throws `conflict` with Docker's text while `inUse` names containers. */
  removeVolume(
    name: string,
    options: { readonly force: boolean; readonly inUse: (name: string) => readonly string[] },
  ): Promise<void>;
  /**
   * Mounts what a volume's options name, for `user`; nothing for a plain volume.
   * @throws `failed_precondition` with the words of mount(8).
   */
  mountVolume(name: string, user: string): Promise<void>;
  /** `user` needs it no more; without other users it is unmounted. `keep`: there are users that an earlier engine mounted it for. */
  unmountVolume(name: string, user: string, options?: { readonly keep: boolean }): void;
  /** Copies what the image has at `target` into a still empty volume, owners and modes included, inside a jail. */
  copyUp(volume: Volume, rootfs: string, target: string): Promise<void>;
}
