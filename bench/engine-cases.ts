/** The engine cases: the docker CLI is the client of both sides. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { command, compare, type Figures, type Side, timeAfterLine } from './measure.ts';
import { type EngineUnderTest, startDockerRegistry } from './peers.ts';

/** What a case gets to work with. */
export interface BenchContext {
  readonly ours: EngineUnderTest;
  readonly peer: EngineUnderTest;
  /** An engine of ours that has never seen an image: what one of ours removes may still be kept for a while. */
  readonly startFresh: () => Promise<EngineUnderTest>;
  readonly dir: string;
  /** Runs of a quick case; big cases run once or twice. */
  readonly runs: number;
  readonly log: (text: string) => void;
}

/** One measured case; lower is better unless said otherwise. */
export interface CaseResult {
  readonly case: string;
  readonly unit: string;
  readonly ours: Figures;
  readonly peer: Figures;
  readonly ratio: number;
  /** What is wanted of the ratio; none for a peer that is only there to compare with. */
  readonly goal?: number;
  readonly higherIsBetter: boolean;
}

/** Measures one or more cases on engines that have the base image. */
export type EngineCase = (context: BenchContext) => Promise<readonly CaseResult[]>;

/** Cases by the name that `--only` takes. */
export const ENGINE_CASES: Readonly<Record<string, EngineCase>> = {
  run: runCases,
  build: buildCases,
  context: contextCase,
  tutorial: tutorialCases,
};

/** Loads the small base image into both engines. */
export async function loadBase(context: BenchContext): Promise<void> {
  const tree = join(context.dir, 'busybox');
  mkdirSync(join(tree, 'bin'), { recursive: true });
  mkdirSync(join(tree, 'tmp'), { recursive: true });
  command('cp', ['/bin/busybox', join(tree, 'bin/busybox')]);
  for (const name of ['sh', 'echo', 'true', 'cat', 'cp', 'ls', 'mkdir'])
    command('ln', ['-sf', 'busybox', join(tree, 'bin', name)]);
  const tar = join(context.dir, 'busybox.tar');
  command('tar', ['-C', tree, '-cf', tar, '.']);
  for (const engine of [context.ours, context.peer])
    docker(engine, ['import', '-c', 'CMD ["sh"]', tar, 'bench-base:latest']);
}

function envOf(engine: EngineUnderTest): NodeJS.ProcessEnv {
  return { DOCKER_HOST: `unix://${engine.socket}`, DOCKER_BUILDKIT: '0', DOCKER_CLI_HINTS: 'false' };
}

/** The docker CLI on one engine. */
export function docker(engine: EngineUnderTest, args: readonly string[]): string {
  return command('docker', args, { env: envOf(engine) });
}

function result(
  name: string,
  goal: number,
  figures: { readonly ours: Figures; readonly peer: Figures },
): CaseResult {
  return {
    case: name,
    unit: 'ms',
    ...figures,
    ratio: figures.ours.median / figures.peer.median,
    goal,
    higherIsBetter: false,
  };
}

function sides(context: BenchContext, make: (engine: EngineUnderTest) => Omit<Side, 'name'>): [Side, Side] {
  return [
    { name: 'ours', ...make(context.ours) },
    { name: 'peer', ...make(context.peer) },
  ];
}

async function runCases(context: BenchContext): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = [];
  for (const [network, goal] of [
    ['host', 0.5],
    ['bridge', 0.35],
  ] as const) {
    const [ours, peer] = sides(context, (engine) => ({
      run: () => void docker(engine, ['run', '--rm', '--network', network, 'bench-base', 'echo', 'hello']),
    }));
    results.push(
      result(
        `run --rm, ${network} network`,
        goal,
        await compare(ours, peer, { runs: context.runs, warmup: 2 }),
      ),
    );
  }
  return results;
}

async function buildCases(context: BenchContext): Promise<readonly CaseResult[]> {
  const folder = join(context.dir, 'five');
  mkdirSync(folder, { recursive: true });
  const lines = [
    'FROM bench-base',
    ...[1, 2, 3, 4, 5].map((i) => `RUN echo ${i} > /file${i}`),
    'COPY hello.txt /hello.txt',
  ];
  writeFileSync(join(folder, 'Dockerfile'), `${lines.join('\n')}\n`);
  writeFileSync(join(folder, 'hello.txt'), 'hello\n');
  const build = (extra: readonly string[]) =>
    sides(context, (engine) => ({
      run: () => void docker(engine, ['build', '-q', ...extra, '-t', 'bench-five', folder]),
    }));
  const [coldOurs, coldPeer] = build(['--no-cache']);
  const cold = await compare(coldOurs, coldPeer, {
    runs: Math.max(3, Math.ceil(context.runs / 2)),
    warmup: 1,
  });
  const [warmOurs, warmPeer] = build([]);
  const warm = await compare(warmOurs, warmPeer, { runs: context.runs, warmup: 1 });
  return [result('build, 5 RUN + COPY, no cache', 0.3, cold), result('the same, fully cached', 1.0, warm)];
}

async function contextCase(context: BenchContext): Promise<readonly CaseResult[]> {
  const folder = join(context.dir, 'gigabyte');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'Dockerfile'), 'FROM bench-base\nCOPY . /data\n');
  writeNoise(join(folder, 'noise'), 1024);
  const [ours, peer] = sides(context, (engine) => ({
    run: () => void docker(engine, ['build', '-q', '--no-cache', '-t', 'bench-context', folder]),
  }));
  const figures = await compare(ours, peer, { runs: 2, warmup: 0 });
  for (const engine of [context.ours, context.peer]) docker(engine, ['rmi', '-f', 'bench-context']);
  rmSync(folder, { recursive: true });
  return [result('1 GiB context over the socket, COPY .', 0.5, figures)];
}

/** Writes `mebibytes` of bytes that do not compress, 64 files of equal size. */
function writeNoise(dir: string, mebibytes: number): void {
  mkdirSync(dir, { recursive: true });
  const block = Buffer.alloc(1024 * 1024);
  let state = 0x9e3779b9;
  for (let i = 0; i < block.length; i += 4) {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + i) | 0;
    block.writeInt32LE(state, i);
  }
  for (let file = 0; file < 64; file++) {
    const fd = openSync(join(dir, `${file}.bin`), 'w');
    for (let i = 0; i < mebibytes / 64; i++) {
      block.writeUInt32LE(file * 1000 + i, 0);
      writeSync(fd, block);
    }
    closeSync(fd);
  }
}

const TUTORIAL = `From bench-debian:latest

RUN apt-get update \\
    && apt-get install -y --no-install-recommends \\
        python3-h5py \\
        python3-pandas \\
        python3-gensim \\
    && rm -rf /var/lib/apt/lists/* \\
    && echo apt-is-done
`;

/** The tutorial's whole image: build, push, pull, save, load. The base must be at `<dir>/debian.tar`. */
async function tutorialCases(context: BenchContext): Promise<readonly CaseResult[]> {
  const base = join(context.dir, 'debian.tar');
  if (statSync(base, { throwIfNoEntry: false }) === undefined)
    throw new Error('the tutorial case needs a Debian base image');
  const folder = join(context.dir, 'tutorial');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'Dockerfile'), TUTORIAL);
  for (const engine of [context.ours, context.peer])
    docker(engine, ['import', '-c', 'CMD ["bash"]', base, 'bench-debian:latest']);
  const results: CaseResult[] = [];
  context.log('building the whole image on both sides: minutes, most of them apt');
  const [buildOurs, buildPeer] = sides(context, (engine) => ({
    run: () =>
      timeAfterLine('docker', ['build', '--no-cache', '-t', 'bench-tutorial', folder], 'apt-is-done', {
        env: envOf(engine),
      }),
  }));
  results.push(
    result(
      'whole image: export and commit after apt',
      0.4,
      await compare(buildOurs, buildPeer, { runs: 1, warmup: 0 }),
    ),
  );
  results.push(...(await transferCases(context)));
  results.push(...(await archiveCases(context)));
  return results;
}

async function transferCases(context: BenchContext): Promise<readonly CaseResult[]> {
  const registry = await startDockerRegistry(join(context.dir, 'registry'), 5917);
  try {
    const names = new Map(
      [context.ours, context.peer].map(
        (engine) => [engine, `${registry.address}/${engine.name}/tutorial:v1`] as const,
      ),
    );
    const [pushOurs, pushPeer] = sides(context, (engine) => ({
      prepare: () => {
        docker(engine, ['tag', 'bench-tutorial', names.get(engine) ?? '']);
        readImage(engine);
        settleDisk();
      },
      run: () => void docker(engine, ['push', '-q', names.get(engine) ?? '']),
    }));
    const push = await compare(pushOurs, pushPeer, { runs: 1, warmup: 0 });
    const fresh = await context.startFresh();
    const [pullOurs, pullPeer] = sides({ ...context, ours: fresh }, (engine) => ({
      prepare: () => {
        removeAll(engine);
        readAll(join(context.dir, 'registry'));
        settleDisk();
      },
      run: () =>
        void docker(engine, ['pull', '-q', names.get(engine === fresh ? context.ours : engine) ?? '']),
    }));
    const pull = await compare(pullOurs, pullPeer, { runs: 1, warmup: 0 });
    await fresh.stop();
    docker(context.peer, ['tag', names.get(context.peer) ?? '', 'bench-tutorial']);
    return [result('push the whole image', 0.2, push), result('pull it back and unpack', 0.3, pull)];
  } finally {
    await registry.stop();
    rmSync(join(context.dir, 'registry'), { recursive: true, force: true });
  }
}

/** What one side has written must not be waited for in the other's time: gigabytes are under way after each case. */
function settleDisk(): void {
  command('sync', []);
}

/** The files of the image are in memory on either side: minutes of the other side's work may have driven them out. */
function readImage(engine: EngineUnderTest): void {
  const read = 'find / -xdev -type f -exec cat {} + > /dev/null';
  docker(engine, ['run', '--rm', '--network', 'none', 'bench-tutorial', 'sh', '-c', read]);
}

/** The same for files of this machine. */
function readAll(path: string): void {
  command('find', [path, '-type', 'f', '-exec', 'dd', 'of=/dev/null', 'bs=1M', 'status=none', 'if={}', ';']);
}

/** Every image and every cached step, so that a pull starts from nothing. */
function removeAll(engine: EngineUnderTest): void {
  const ids = docker(engine, ['images', '-aq']).split('\n').filter(Boolean);
  for (const id of new Set(ids))
    spawnSync('docker', ['rmi', '-f', id], { env: { ...process.env, ...envOf(engine) }, stdio: 'ignore' });
  spawnSync('docker', ['builder', 'prune', '-af'], {
    env: { ...process.env, ...envOf(engine) },
    stdio: 'ignore',
  });
}

async function archiveCases(context: BenchContext): Promise<readonly CaseResult[]> {
  const archive = (engine: EngineUnderTest): string => join(context.dir, `${engine.name}.tar`);
  const [saveOurs, savePeer] = sides(context, (engine) => ({
    prepare: () => {
      readImage(engine);
      settleDisk();
    },
    run: () => void docker(engine, ['save', '-o', archive(engine), 'bench-tutorial']),
  }));
  const save = await compare(saveOurs, savePeer, { runs: 1, warmup: 0 });
  const fresh = await context.startFresh();
  const [loadOurs, loadPeer] = sides({ ...context, ours: fresh }, (engine) => ({
    prepare: () => {
      removeAll(engine);
      readAll(archive(context.peer));
      settleDisk();
    },
    // Both sides load the same archive: the one the peer wrote.
    run: () => void docker(engine, ['load', '-q', '-i', archive(context.peer)]),
  }));
  const load = await compare(loadOurs, loadPeer, { runs: 1, warmup: 0 });
  await fresh.stop();
  for (const engine of [context.ours, context.peer]) rmSync(archive(engine), { force: true });
  return [result('save the whole image', 0.5, save), result('load the whole image', 0.5, load)];
}
