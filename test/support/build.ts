/** A builder on a temporary root with real steps, and a busybox base image made on the spot. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import { planDockerfile } from '#build/frontend/index.ts';
import { type BuilderOptions, createBuilder } from '#build/index.ts';
import type { Builder, BuildRequest } from '#build/types.ts';
import { extendChain } from '#oci/digest/index.ts';
import { encodeDocument } from '#oci/manifest/index.ts';
import { parseReference } from '#oci/reference/index.ts';
import type { ImageTransfer } from '#registry/transfer/types.ts';
import { createOciRuntime, createStepRuntime, removeCgroup } from '#runtime/process/index.ts';
import type { StepRuntime } from '#runtime/process/types.ts';
import { createChangesets } from '#store/changeset/index.ts';
import type { Image } from '#store/image/types.ts';
import { openStore, type Store } from '#store/root/index.ts';

/** Why real builds are skipped, or `false`. */
export const NEEDS_BUILD_HOST =
  process.getuid?.() !== 0
    ? 'building needs root'
    : spawnSync('runc', ['--version']).status === 0
      ? false
      : 'runc is not installed';

/** What a test build gave. */
export interface TestBuild {
  readonly output: string;
  readonly image: Image;
  readonly recordId: string;
}

/** A builder with its store. */
export interface TestBuilder {
  readonly store: Store;
  readonly builder: Builder;
  readonly stepRuntime: StepRuntime;
  readonly dir: string;
  /** Builds a context given as files; the whole output is kept also when it fails (`error.output`). */
  build(files: Readonly<Record<string, string>>, request?: Partial<BuildRequest>): Promise<TestBuild>;
  /** Text of a file of an image. */
  read(image: Image, path: string): string;
  /** `ls -lanR`-like lines `mode uid:gid path -> link`. */
  list(image: Image, path: string): readonly string[];
}

/** Runs `body` with a fresh builder; afterwards nothing of it is mounted or left on the disk. */
export async function withBuilder(
  body: (test: TestBuilder) => Promise<void>,
  { driver, ...options }: Partial<BuilderOptions> & { readonly driver?: 'overlay' | 'copy' } = {},
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-build-'));
  const root = join(dir, 'root');
  const changesets = createChangesets();
  const store = await openStore({
    root,
    changesets,
    graceMs: 0,
    ...(driver === undefined ? {} : { driver }),
  });
  const cgroupParent = `/slipway-test-${process.pid}`;
  const stepRuntime = createStepRuntime({
    runtimePath: createOciRuntime().path,
    stateDir: join(dir, 'exec'),
    cgroupParent,
  });
  const builder = await createBuilder({
    ...store,
    stepRuntime,
    transfer: NO_TRANSFER,
    planDockerfile,
    ...options,
  });
  try {
    await addBusybox(store);
    await body({
      store,
      builder,
      stepRuntime,
      dir,
      build: (files, request) => buildFiles(builder, store, dir, files, request),
      read: (image, path) => withView(store, dir, image, (view) => readFileSync(join(view, path), 'utf8')),
      list: (image, path) => withView(store, dir, image, (view) => listTree(join(view, path))),
    });
  } finally {
    await builder.close();
    await store.close();
    removeCgroup(cgroupParent);
    assert.equal(readFileSync('/proc/self/mounts', 'utf8').includes(dir), false, 'nothing stays mounted');
    rmSync(dir, { recursive: true, force: true });
  }
}

const NO_TRANSFER: Pick<ImageTransfer, 'pullImage' | 'resolveImage'> = {
  pullImage: async (reference) => {
    throw new CodedError('not_found', `pull access denied for ${reference.repository}`);
  },
  resolveImage: async (reference) => {
    throw new CodedError('not_found', `pull access denied for ${reference.repository}`);
  },
};

/** A request with defaults for everything but the context. */
export function requestFor(context: BuildRequest['context'], more: Partial<BuildRequest> = {}): BuildRequest {
  return {
    context,
    dockerfile: 'Dockerfile',
    tags: [],
    buildArgs: {},
    labels: {},
    noCache: false,
    pull: false,
    cacheFrom: [],
    network: 'default',
    extraHosts: [],
    limits: {},
    removeIntermediate: true,
    quiet: false,
    squash: false,
    credentials: async () => undefined,
    signal: new AbortController().signal,
    ...more,
  };
}

/** The tar of a directory, as a client sends it. */
export async function* tarOf(dir: string): AsyncIterable<Uint8Array> {
  const child = spawn('tar', ['-C', dir, '--sort=name', '-cf', '-', '.'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  yield* child.stdout as AsyncIterable<Uint8Array>;
}

async function buildFiles(
  builder: Builder,
  store: Store,
  dir: string,
  files: Readonly<Record<string, string>>,
  more: Partial<BuildRequest> = {},
): Promise<TestBuild> {
  const context = mkdtempSync(join(dir, 'context-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(context, path, '..'), { recursive: true });
    writeFileSync(join(context, path), text);
  }
  let output = '';
  try {
    const request = requestFor({ kind: 'tar', stream: tarOf(context) }, more);
    const { imageId, recordId } = await builder.build(request, {
      onOutput: (text) => {
        output += text;
      },
      onProgress: () => undefined,
      onImage: () => undefined,
    });
    return { output, recordId, image: store.images.getImage(imageId) };
  } catch (error) {
    throw Object.assign(error as Error, { output });
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

/** `busybox:latest`: one static program and its links, a user file, a group file. */
export async function addBusybox(store: Store): Promise<Image> {
  const active = await store.snapshots.prepare('busybox-base', undefined);
  const at = (path: string): string => join(active.upperDir, path);
  for (const path of ['bin', 'etc', 'tmp', 'root', 'home/user']) mkdirSync(at(path), { recursive: true });
  cpSync('/bin/busybox', at('bin/busybox'));
  spawnSync('chroot', [active.upperDir, '/bin/busybox', '--install', '-s', '/bin']);
  writeFileSync(
    at('etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1001:user:/home/user:/bin/sh\n',
  );
  writeFileSync(at('etc/group'), 'root:x:0:\nusers:x:1001:\nstaff:x:50:user\n');
  for (const name of ['hosts', 'hostname', 'resolv.conf']) writeFileSync(at(`etc/${name}`), '');
  for (const path of ['dev', 'proc', 'sys']) mkdirSync(at(path));
  await store.snapshots.commit('busybox-base', 'busybox-base');
  const indexPath = store.content.reserveFile();
  const facts = await store.changesets.describeChangeset(
    {
      dir: (store.snapshots.find('busybox-base') as { dir: string }).dir,
      kind: store.snapshots.driver === 'overlay' ? 'overlay' : 'plain',
    },
    { indexPath },
  );
  const indexDigest = await store.content.hashFile(indexPath);
  await store.content.adoptFile(indexPath, {
    digest: indexDigest,
    sizeBytes: readFileSync(indexPath).length,
  });
  const chainId = extendChain(undefined, facts.diffId);
  store.snapshots.addName('busybox-base', chainId);
  store.images.addLayer({ ...facts, indexDigest }, { chainId });
  return store.images.addImage({
    configBytes: encodeDocument({
      created: '2026-01-02T03:04:05Z',
      architecture: 'amd64',
      os: 'linux',
      config: { Env: ['PATH=/bin'], Cmd: ['sh'] },
      rootfs: { type: 'layers', diff_ids: [facts.diffId] },
      history: [{ created: '2026-01-02T03:04:05Z', created_by: 'busybox' }],
    }),
    tags: [parseReference('busybox:latest')],
  });
}

function withView<T>(store: Store, dir: string, image: Image, body: (view: string) => T): T {
  const view = mkdtempSync(join(dir, 'view-'));
  store.snapshots.mountViewAt(image.chainId, view);
  try {
    return body(view);
  } finally {
    store.snapshots.unmount(view);
  }
}

function listTree(path: string): readonly string[] {
  const { stdout } = spawnSync('find', [path, '-printf', '%M %U:%G %P %l\n'], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .sort((a, b) => ((a.split(' ')[2] ?? '') < (b.split(' ')[2] ?? '') ? -1 : 1));
}

/** Names below a directory, for checks that nothing is left. */
export function namesBelow(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' });
}
