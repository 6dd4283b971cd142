import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import type { Vertex } from '#build/graph/types.ts';
import { type FileClient, removeMountPoint } from '#build/op/index.ts';
import type { BuildJob, BuildResult, StateResult, TreeResult } from '#build/op/types.ts';
import type { OpCall } from '#build/solver/types.ts';
import type { Platform } from '#oci/platform/index.ts';
import type { ResourceLimits } from '#runtime/process/types.ts';
import type { Image } from '#store/image/types.ts';
import type { Lease, Resource } from '#store/lease/types.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import type { BaseImages } from './images.ts';

/** What a job is made of. */
export interface JobOptions {
  readonly id: string;
  readonly dir: string;
  readonly files: FileClient & AsyncDisposable;
  readonly lease: Lease;
  readonly limits: ResourceLimits;
  readonly platform: Platform;
  readonly snapshots: Pick<SnapshotStore, 'mountViewAt' | 'unmount' | 'listDirs'>;
  readonly mountDir: string;
  readonly bases: BaseImages;
}

/** One build's belongings; `close` gives them all back, on success, failure and cancel alike. */
export class Job implements BuildJob {
  readonly id: string;
  readonly dir: string;
  readonly files: FileClient;
  readonly limits: ResourceLimits;
  readonly platform: Platform;
  readonly bases: BaseImages;
  #isClosed = false;
  readonly #claimed = new Set<string>();
  readonly #options: JobOptions;
  readonly #cleanups: (() => Promise<void> | void)[] = [];
  readonly #views = new Map<string, Promise<number>>();
  readonly #contexts = new Map<string, TreeResult>();
  readonly #images = new Map<string, Promise<Image>>();
  #positions: (vertex: Vertex) => readonly string[] = () => [];
  #adopter: BuildJob['adopt'] = async () => undefined;

  constructor(options: JobOptions) {
    this.#options = options;
    this.id = options.id;
    this.dir = options.dir;
    this.files = options.files;
    this.limits = options.limits;
    this.platform = options.platform;
    this.bases = options.bases;
  }

  /** After the end nothing is claimed: what came late serves the next build, or is collected. */
  claim(resources: readonly Resource[]): void {
    if (this.#isClosed) return;
    const { lease } = this.#options;
    const added = resources.filter(({ kind, key }) => !this.#claimed.has(`${kind} ${key}`));
    if (added.length === 0) return;
    for (const resource of added) lease.add(resource);
    for (const { kind, key } of added) this.#claimed.add(`${kind} ${key}`);
  }

  addContext(name: string, tree: TreeResult): void {
    this.#contexts.set(name, tree);
  }

  setPositions(positions: (vertex: Vertex) => readonly string[]): void {
    this.#positions = positions;
  }

  setAdopter(adopter: BuildJob['adopt']): void {
    this.#adopter = adopter;
  }

  adopt(call: OpCall<BuildResult, BuildJob>): Promise<StateResult | undefined> {
    return this.#adopter(call);
  }

  positionsOf(vertex: Vertex): readonly string[] {
    return this.#positions(vertex);
  }

  async openContext(name: string): Promise<TreeResult> {
    const context = this.#contexts.get(name);
    if (context === undefined) throw new CodedError('not_found', `build context "${name}" is not known`);
    return context;
  }

  openView(state: StateResult): Promise<number> {
    const key = state.snapshot ?? '';
    let view = this.#views.get(key);
    if (view === undefined) {
      view = this.#mountView(state);
      this.#views.set(key, view);
    }
    return view;
  }

  async #mountView(state: StateResult): Promise<number> {
    const { snapshots, mountDir } = this.#options;
    const target = join(mountDir, `${this.id}-view-${this.#views.size}`);
    snapshots.mountViewAt(state.snapshot, target);
    this.defer(async () => {
      snapshots.unmount(target);
      await removeMountPoint(target);
    });
    const tree = await this.files.call('openTree', {
      kind: 'disk',
      root: target,
      fixedDirs: state.snapshot === undefined ? [] : snapshots.listDirs(state.snapshot),
      rootOwned: false,
    });
    this.defer(() => this.files.call('closeTree', tree));
    return tree;
  }

  fetchImage(
    reference: string,
    options: { readonly platform: Platform; readonly pull: 'missing' | 'always' },
  ): Promise<Image> {
    const key = `${reference} ${JSON.stringify(options.platform)}`;
    let image = this.#images.get(key);
    if (image === undefined) {
      image = this.bases.fetch(reference, options.platform, options.pull);
      image.catch(() => undefined);
      this.#images.set(key, image);
    }
    return image;
  }

  defer(cleanup: () => Promise<void> | void): void {
    this.#cleanups.push(cleanup);
  }

  async open(): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
  }

  /** Everything is tried, the first failure is thrown at the end. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const failures: unknown[] = [];
    for (const cleanup of [
      ...this.#cleanups.splice(0).reverse(),
      () => this.#options.lease[Symbol.asyncDispose](),
      () => this.#options.files[Symbol.asyncDispose](),
    ]) {
      try {
        await cleanup();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
