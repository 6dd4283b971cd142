import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError, messageOf } from '#base/errors/index.ts';
import { type BuildCache, createAdopter } from '#build/cache/index.ts';
import {
  type ArrivedContext,
  listFirstTexts,
  readDockerfile,
  readIgnoreFile,
  readSmallFile,
  receiveContext,
  type TextTree,
} from '#build/context/index.ts';
import { type BuiltStage, encodeImage, Ledger, listDiffIds, registerLayers } from '#build/exporter/index.ts';
import { CONTENT_HASH } from '#build/frontend/index.ts';
import type { BuildPlan, Frontend } from '#build/frontend/types.ts';
import type { Vertex } from '#build/graph/types.ts';
import {
  cloneGit,
  type Fetcher,
  type FileWorkers,
  hashSources,
  isGitUrl,
  parseGitUrl,
} from '#build/op/index.ts';
import type { BuildJob, BuildResult, StateResult } from '#build/op/types.ts';
import type { Solve, Solver } from '#build/solver/index.ts';
import type { ImageId } from '#oci/config/index.ts';
import { shortIdOf } from '#oci/digest/index.ts';
import { formatPlatform, hostPlatform, type Platform } from '#oci/platform/index.ts';
import { formatFamiliar, withDefaultTag } from '#oci/reference/index.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import type { Changesets } from '#store/changeset/types.ts';
import type { ContentStore } from '#store/content/types.ts';
import type { ImageStore } from '#store/image/types.ts';
import type { LeaseStore } from '#store/lease/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { firstTexts, openContextTree } from './first-texts.ts';
import { BaseImages } from './images.ts';
import { Job } from './job.ts';
import { placeFailure } from './place.ts';
import { positionsOfPlan } from './positions.ts';
import { insertRecord } from './record.ts';
import type { BuildListener, BuildRequest } from './types.ts';

/** What builds of one builder share. */
export interface BuilderContext {
  readonly dir: string;
  readonly mountDir: string;
  readonly db: Database;
  readonly snapshots: SnapshotStore;
  readonly images: ImageStore;
  readonly content: Pick<ContentStore, 'hashFile'>;
  readonly leases: LeaseStore;
  readonly changesets: Changesets;
  readonly transfer: Pick<ImageTransfer, 'pullImage' | 'resolveImage'>;
  readonly planDockerfile: Frontend;
  readonly cache: BuildCache;
  readonly fetcher: Fetcher;
  readonly workers: FileWorkers;
  readonly solver: Solver<BuildResult, BuildJob>;
  readonly explainMisses: boolean;
}

interface Failure {
  readonly error: unknown;
  readonly vertex: Vertex | undefined;
}

/** Runs one build from its context to its tags; see `Builder.build`. */
export async function runBuild(
  context: BuilderContext,
  request: BuildRequest,
  listener: BuildListener,
): Promise<{ readonly imageId: ImageId; readonly recordId: string }> {
  return new Build(context, request, listener).run();
}

class Build {
  readonly #context: BuilderContext;
  readonly #request: BuildRequest;
  readonly #listener: BuildListener;
  readonly #id = randomBytes(12).toString('hex');
  readonly #startedAt = Date.now();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #platform: Platform;
  /** Output of a quiet build, shown when it fails. */
  readonly #quietOutput: string[] = [];
  #ledger: Ledger | undefined;
  #failure: Failure | undefined;
  #contextDigest: string | undefined;

  constructor(context: BuilderContext, request: BuildRequest, listener: BuildListener) {
    this.#context = context;
    this.#request = request;
    this.#listener = listener;
    this.#signal = AbortSignal.any([request.signal, this.#stop.signal]);
    this.#platform = request.platform ?? hostPlatform();
  }

  async run(): Promise<{ readonly imageId: ImageId; readonly recordId: string }> {
    this.#request.signal.throwIfAborted();
    if (this.#request.squash)
      throw new CodedError('invalid_argument', 'squash is only supported with experimental mode');
    const job = this.#makeJob();
    let imageId: ImageId | undefined;
    let failure: unknown;
    try {
      await job.open();
      imageId = await this.#build(job);
    } catch (error) {
      failure = this.#request.signal.aborted
        ? this.#request.signal.reason
        : placeFailure(this.#failure?.error ?? error, this.#failure?.vertex);
      for (const text of this.#quietOutput) this.#listener.onOutput(text);
    } finally {
      this.#stop.abort(new CodedError('aborted', 'the build has ended'));
      const unclean = await this.#close(job, imageId, failure);
      failure ??= unclean;
    }
    if (imageId === undefined || failure !== undefined) throw failure;
    return { imageId, recordId: this.#id };
  }

  #makeJob(): Job {
    const { dir, snapshots, mountDir, leases, workers, images, transfer } = this.#context;
    const { credentials, quiet, platform } = this.#request;
    const bases = new BaseImages({
      images,
      transfer,
      isPlatformAsked: platform !== undefined,
      options: {
        credentials,
        signal: this.#signal,
        ...(quiet ? {} : { onProgress: this.#listener.onProgress }),
      },
    });
    return new Job({
      id: this.#id,
      dir: join(dir, this.#id),
      files: workers.acquire(),
      lease: leases.createLease({ label: `build ${this.#id}` }),
      limits: this.#request.limits,
      platform: this.#platform,
      snapshots,
      mountDir,
      bases,
    });
  }

  async #build(job: Job): Promise<ImageId> {
    const { request, dockerfile } = { request: this.#request, dockerfile: await this.#openContext(job) };
    const plan = await this.#context.planDockerfile(
      {
        dockerfile,
        buildArgs: request.buildArgs,
        labels: request.labels,
        ...(request.target === undefined ? {} : { target: request.target }),
        platform: this.#platform,
        buildPlatform: hostPlatform(),
        noCache: request.noCache,
        pull: request.pull ? 'always' : 'missing',
        network: request.network,
        extraHosts: request.extraHosts,
        dialect: 'classic',
      },
      job.bases,
    );
    this.#signal.throwIfAborted();
    const lineage = `${request.tags[0]?.repository ?? ''} ${dockerfile.name} ${request.target ?? ''}`;
    job.setPositions(positionsOfPlan(plan, lineage));
    job.setAdopter(
      createAdopter({
        plan,
        snapshots: this.#context.snapshots,
        images: request.cacheFrom.flatMap((name) => this.#context.images.findImage(name) ?? []),
        sourceHash: hashSources,
        listDiffIds,
      }),
    );
    const stage = await this.#solve(job, plan);
    return this.#export(stage, plan);
  }

  async #solve(job: Job, plan: BuildPlan): Promise<BuiltStage> {
    const { cache, solver, explainMisses } = this.#context;
    const { noCache, removeIntermediate, buildArgs } = this.#request;
    const steps = new Set(plan.stages.flatMap((stage) => stage.steps.flatMap(({ vertex }) => vertex ?? [])));
    const ledger = new Ledger({
      plan,
      cache,
      recordId: this.#id,
      noCache,
      removeIntermediate,
      forceRemove: this.#request.forceRemove ?? false,
      explain: explainMisses,
      sourceDateEpoch: sourceDateEpochOf(buildArgs),
      contentHashMark: CONTENT_HASH,
      write: (text) => this.#write(text),
      signal: this.#signal,
    });
    this.#ledger = ledger;
    const solve = solver.begin(plan.graph, {
      job,
      signal: this.#signal,
      listener: {
        ...ledger.listener,
        onResult: (vertex, result) => {
          if (result.kind !== 'state' || result.snapshot === undefined) return;
          job.claim([{ kind: 'snapshot', key: result.snapshot }]);
          if (steps.has(vertex.digest)) claimLayer(job, result);
        },
      },
    });
    job.defer(() => solve.settled());
    for (const { message } of plan.warnings) this.#write(`[WARNING]: ${message}\n`);
    // As the classic builder ends its list.
    if (plan.warnings.some(({ message }) => message.startsWith('Empty continuation line found in:')))
      this.#write('[WARNING]: Empty continuation lines will become errors in a future release.\n');
    this.#startAll(plan, solve);
    try {
      return await ledger.follow(solve);
    } catch (error) {
      const failure = this.#failure ?? { error, vertex: undefined };
      if (!this.#request.signal.aborted) ledger.recordFailure(failure.vertex?.digest, failure.error);
      throw failure.error;
    }
  }

  /** Every vertex a step names is started; the first that fails stops the others. */
  #startAll(plan: BuildPlan, solve: Solve<BuildResult>): void {
    for (const stage of plan.stages) {
      const base = stage.base.kind === 'image' ? [stage.base.vertex] : [];
      for (const digest of [...base, ...stage.steps.flatMap(({ vertex }) => vertex ?? [])]) {
        const vertex = plan.graph.vertices.get(digest);
        solve.solve(digest).catch((error: unknown) => {
          if (this.#signal.aborted) return;
          this.#failure = { error, vertex };
          this.#stop.abort(error);
        });
      }
    }
  }

  async #export(stage: BuiltStage, plan: BuildPlan): Promise<ImageId> {
    const { db, images, snapshots } = this.#context;
    const { tags, signal } = this.#request;
    if (stage.imageId === undefined) {
      throw new CodedError('invalid_argument', 'No image was generated. Is your Dockerfile empty?', {
        help: {
          id: 'build/no-image',
          cause: 'FROM scratch alone makes nothing',
          fix: ['add an instruction, such as COPY or CMD, after FROM scratch'],
        },
      });
    }
    const names = tags.map(withDefaultTag);
    signal.throwIfAborted();
    // An image that is there has all its layers: a cached build only names it.
    if (stage.isNew && images.findImage(stage.imageId) === undefined) {
      await registerLayers(stage.state, { db, images, snapshots });
      await images.addImage({ configBytes: encodeImage(stage.image), tags: names });
    } else {
      for (const name of names) images.tagImage(name, stage.imageId);
    }
    this.#listener.onImage(stage.imageId);
    if (plan.unusedArgs.length > 0)
      this.#write(`[Warning] One or more build-args [${plan.unusedArgs.join(' ')}] were not consumed\n`);
    this.#write(`Successfully built ${shortIdOf(stage.imageId)}\n`);
    for (const name of names) this.#write(`Successfully tagged ${formatFamiliar(name)}\n`);
    if (this.#request.quiet) this.#listener.onOutput(`${stage.imageId}\n`);
    return stage.imageId;
  }

  #write(text: string): void {
    if (this.#request.quiet) this.#quietOutput.push(text);
    else this.#listener.onOutput(text);
  }

  async #openContext(job: Job): Promise<{ readonly name: string; readonly text: string }> {
    const { changesets, fetcher, content } = this.#context;
    const arrived = await receiveContext(this.#request.context, {
      dir: job.dir,
      texts: listFirstTexts(this.#request.dockerfile),
      signal: this.#signal,
      tools: {
        changesets,
        unpackSmall: (call) => job.files.call('unpackSmall', call),
        isGitUrl,
        cloneGit: (url, dir, signal) => cloneGit(parseGitUrl(url), dir, { keepGitDir: true, signal }),
        download: (url, path, signal) => fetcher.download(url, path, { signal }),
      },
    });
    const hashed = arrived.small?.indexDigest ?? (arrived.indexPath && content.hashFile(arrived.indexPath));
    if (hashed instanceof Promise) hashed.catch(() => undefined); // awaited below, unless something else fails before
    const tree = firstTexts(job, arrived, this.#request.dockerfile);
    const dockerfile = await this.#findDockerfile(job, tree, arrived);
    const ignore = await readIgnoreFile(tree, dockerfile.name);
    job.addContext('context', await openContextTree(job, arrived, ignore));
    if (hashed) this.#contextDigest = await hashed;
    return dockerfile;
  }

  async #findDockerfile(
    job: Job,
    tree: TextTree,
    arrived: ArrivedContext,
  ): Promise<{ readonly name: string; readonly text: string }> {
    const { dockerfile } = this.#request;
    if (arrived.dockerfile !== undefined) return { name: 'Dockerfile', text: arrived.dockerfile };
    if (!/^https?:\/\//.test(dockerfile)) return readDockerfile(tree, dockerfile);
    const path = join(job.dir, 'remote-dockerfile');
    await this.#context.fetcher.download(dockerfile, path, { signal: this.#signal });
    return { name: 'Dockerfile', text: await readSmallFile(path) };
  }

  /** Gives everything back and writes the record; returns what went wrong with that. */
  async #close(job: Job, imageId: ImageId | undefined, failure: unknown): Promise<unknown> {
    const { cache, db, dir } = this.#context;
    let unclean: unknown;
    await job.close().catch((error: unknown) => {
      unclean = error;
    });
    const record = {
      id: this.#id,
      startedAt: this.#startedAt,
      endedAt: Date.now(),
      dockerfile: this.#request.dockerfile,
      ...(this.#contextDigest === undefined ? {} : { contextDigest: this.#contextDigest }),
      tags: this.#request.tags.map((tag) => formatFamiliar(withDefaultTag(tag))),
      ...(this.#request.target === undefined ? {} : { target: this.#request.target }),
      platform: formatPlatform(this.#platform),
      ...(imageId === undefined ? { error: messageOf(failure) } : { imageId }),
      steps: this.#ledger?.records ?? [],
    };
    try {
      cache.flush(() => insertRecord(db, record));
      await throwAway(job.dir, dir);
    } catch (error) {
      unclean ??= error;
    }
    return unclean;
  }
}

/** Starts to describe the layer of a step, and keeps what is found until the build ends. The ledger awaits it. */
function claimLayer(job: Job, { layer }: StateResult): void {
  layer?.().then(
    ({ indexDigest }) => {
      job.claim([{ kind: 'blob', key: indexDigest }]);
    },
    () => undefined,
  );
}

/** Moves the build's directory aside and deletes it while the answer already goes out. */
async function throwAway(path: string, dir: string): Promise<void> {
  const trash = join(dir, `trash-${randomBytes(6).toString('hex')}`);
  await rename(path, trash);
  rm(trash, { recursive: true, force: true }).catch(() => undefined);
}

/** `SOURCE_DATE_EPOCH` as milliseconds. @throws {CodedError} `invalid_argument`. */
function sourceDateEpochOf(buildArgs: Readonly<Record<string, string | null>>): number | undefined {
  const text = buildArgs['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === null || text === '') return undefined;
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || seconds > 253_402_300_799)
    throw new CodedError('invalid_argument', `invalid SOURCE_DATE_EPOCH: ${text}`);
  return seconds * 1000;
}
