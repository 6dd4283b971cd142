/** Podman and buildah beside our engine: no daemon of theirs waits, so their whole start is in each figure. No goals. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BenchContext, type CaseResult, docker } from './engine-cases.ts';
import { command, compare, type Side } from './measure.ts';

/** Limits that a container may set everywhere; podman's own defaults need rights that not every host gives. */
const LIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];

/** `run` and `build` with podman and buildah as the peer; nothing where they are not installed. */
export async function podmanCases(context: BenchContext): Promise<readonly CaseResult[]> {
  const dir = join(context.dir, 'podman');
  const store = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run'), '--storage-driver', 'overlay'];
  const podman = (...args: string[]): string =>
    command('podman', [...store, '--runtime', 'runc', '--cgroup-manager', 'cgroupfs', ...args]);
  mkdirSync(dir, { recursive: true });
  try {
    podman('import', '-q', join(context.dir, 'busybox.tar'), 'bench-base');
  } catch (error) {
    context.log(`podman is left out: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
  const results: CaseResult[] = [];
  const add = async (name: string, ours: Side['run'], peer: Side['run']): Promise<void> => {
    const figures = await compare(
      { name: 'ours', run: ours },
      { name: 'podman', run: peer },
      { runs: context.runs, warmup: 1 },
    );
    const ratio = figures.ours.median / figures.peer.median;
    results.push({ case: name, unit: 'ms', ...figures, ratio, higherIsBetter: false });
  };
  for (const network of ['host', 'bridge'])
    await add(
      `run --rm, ${network} network (peer: podman)`,
      () => void docker(context.ours, ['run', '--rm', '--network', network, 'bench-base', 'echo', 'hello']),
      () => void podman('run', '--rm', ...LIMITS, '--network', network, 'bench-base', 'echo', 'hello'),
    );
  const folder = join(dir, 'context');
  mkdirSync(folder);
  const steps = [1, 2, 3, 4, 5].map((i) => `RUN echo ${i} > /file${i}\n`).join('');
  writeFileSync(join(folder, 'Dockerfile'), `FROM bench-base\n${steps}COPY hello.txt /hello.txt\n`);
  writeFileSync(join(folder, 'hello.txt'), 'hello\n');
  const build = (...flags: string[]): string =>
    command('buildah', [
      ...store,
      'bud',
      '--runtime',
      'runc',
      '--layers',
      '-q',
      ...flags,
      '-t',
      'five',
      folder,
    ]);
  for (const [name, flags] of [
    ['build, 5 RUN + COPY, no cache (peer: buildah)', ['--no-cache']],
    ['the same, fully cached (peer: buildah)', []],
  ] as const)
    await add(
      name,
      () => void docker(context.ours, ['build', '-q', ...flags, '-t', 'bench-podman-five', folder]),
      () => void build(...flags),
    );
  podman('system', 'reset', '--force');
  rmSync(dir, { recursive: true, force: true });
  return results;
}
