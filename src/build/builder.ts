import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { MNT, spreadDirectories, unmount } from '#base/posix/index.ts';
import { type BuildCache, createBuildCache } from '#build/cache/index.ts';
import type { Frontend } from '#build/frontend/types.ts';
import {
  createExecDriver,
  createFetcher,
  createFileDriver,
  createSourceDriver,
  type Fetcher,
  FileWorkers,
  LayerDescriber,
} from '#build/op/index.ts';
import type { BuildJob, BuildResult } from '#build/op/types.ts';
import { createSolver, type Solver } from '#build/solver/index.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import type { StepRuntime } from '#runtime/process/types.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { ImageStore } from '#store/image/types.ts';
import type { LeaseStore, Reclaimer } from '#store/lease/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { type BuilderContext, runBuild } from './build.ts';
import { listRecords } from './record.ts';
import type { Builder } from './types.ts';

/** What a builder is made of. `root` is the engine's root; the builder owns `<root>/build`. */
export interface BuilderOptions {
  readonly root: string;
  readonly db: Database;
  readonly content: ContentStore;
  readonly snapshots: SnapshotStore;
  readonly images: ImageStore;
  readonly leases: LeaseStore;
  readonly reclaimer: Reclaimer;
  readonly changesets: Changesets;
  readonly stepRuntime: StepRuntime;
  readonly transfer: Pick<ImageTransfer, 'pullImage' | 'resolveImage'>;
  readonly planDockerfile: Frontend;
  /** Steps that run at once, over all builds; the number of processors by default. */
  readonly parallelism?: number;
  /** Say in the output why a step is not cached, when an earlier record tells; on by default. */
  readonly explainMisses?: boolean;
  /** Subnets that ADD of a URL must not reach, besides link-local ones. */
  readonly blockedSubnets?: readonly string[];
  /** Layers in the cache that no image shares, in all; 20 GiB by default. The least recently used goes first. */
  readonly cacheLimitBytes?: number;
}

const CACHE_LIMIT_BYTES = 20 * 1024 ** 3;
const CACHE_UNUSED_MS = 60 * 24 * 3_600_000;
/** The cache is looked through after a build, but not more often than this. */
const COLLECT_EVERY_MS = 10 * 60_000;

/** Makes the builder; what an earlier process left in its directory is removed first. `close` waits for running builds. */
export async function createBuilder(options: BuilderOptions): Promise<Builder> {
  const dir = join(options.root, 'build');
  const mountDir = join(dir, 'mounts');
  await removeLeftovers(dir);
  await mkdir(mountDir, { recursive: true, mode: 0o700 });
  spreadDirectories(dir); // contexts come and go
  const layers = new LayerDescriber({
    ...options,
    onDescribed: (snapshot, layer) => cache.noteLayer(snapshot, layer),
  });
  const cache: BuildCache = createBuildCache({
    ...options,
    describe: (snapshot, known) => layers.lazily(snapshot, known),
  });
  const fetcher = createFetcher({ blocked: options.blockedSubnets ?? [] });
  const workers = new FileWorkers({ size: 2 });
  const context: BuilderContext = {
    ...options,
    dir,
    mountDir,
    cache,
    fetcher,
    workers,
    explainMisses: options.explainMisses ?? true,
    solver: makeSolver(options, { cache, fetcher, layers, mountDir }),
  };
  return makeBuilder(context, layers, options.cacheLimitBytes ?? CACHE_LIMIT_BYTES);
}

function makeBuilder(context: BuilderContext, layers: LayerDescriber, keepBytes: number): Builder {
  const running = new Set<Promise<unknown>>();
  const stop = new AbortController();
  let collectedAt = 0;
  let closing: Promise<void> | undefined;
  const collect = (): void => {
    if (stop.signal.aborted || Date.now() - collectedAt < COLLECT_EVERY_MS) return;
    collectedAt = Date.now();
    track(context.cache.collect({ keepBytes, unusedMs: CACHE_UNUSED_MS }));
  };
  const track = (work: Promise<unknown>): void => {
    running.add(work);
    const forget = (): void => void running.delete(work);
    work.then(forget, forget);
  };
  return {
    build: (request, listener) => {
      const signal = AbortSignal.any([request.signal, stop.signal]);
      const build = runBuild(context, { ...request, signal }, listener);
      track(build);
      build.then(collect, collect);
      return build;
    },
    listCache: () => context.cache.list(),
    pruneCache: (pruneOptions) => context.cache.prune(pruneOptions),
    listRecords: (limit) => listRecords(context.db, limit),
    close: () => {
      closing ??= closeAll();
      return closing;
    },
  };

  async function closeAll(): Promise<void> {
    stop.abort(new CodedError('aborted', 'the engine is stopping'));
    await Promise.allSettled(running);
    await layers.close();
    context.cache.flush();
    await context.workers.close();
    await context.fetcher.close();
  }
}

function makeSolver(
  options: BuilderOptions,
  parts: {
    readonly cache: BuildCache;
    readonly fetcher: Fetcher;
    readonly layers: LayerDescriber;
    readonly mountDir: string;
  },
): Solver<BuildResult, BuildJob> {
  const shared = { ...options, ...parts };
  return createSolver<BuildResult, BuildJob>({
    drivers: {
      source: createSourceDriver(shared),
      exec: createExecDriver(shared),
      file: createFileDriver(shared),
    },
    cache: parts.cache,
    parallelism: options.parallelism ?? Math.max(2, availableParallelism()),
  });
}

/** Unmounts and removes what a killed process left below the builder's directory. */
async function removeLeftovers(dir: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, code: string) =>
        String.fromCharCode(Number.parseInt(code, 8)),
      ),
    )
    .filter((target) => target.startsWith(`${dir}/`));
  for (const target of mounts.reverse()) unmount(target, MNT.DETACH | MNT.NOFOLLOW);
  const names = await readdir(dir).catch(() => [] as string[]);
  // Out of the way at once; the deleting itself need not hold up the start.
  const trash = join(dir, `trash-${randomBytes(6).toString('hex')}`);
  if (names.length === 0) return;
  await mkdir(trash, { mode: 0o700 });
  for (const name of names) await rename(join(dir, name), join(trash, name));
  rm(trash, { recursive: true, force: true }).catch(() => undefined);
}
