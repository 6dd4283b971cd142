/** What is killed at every call that changes the disk, and what must hold afterwards. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImageArchive, makeRootfsTar } from './busybox.ts';
import { startDaemon, type TestDaemon } from './daemon.ts';
import { killAt, killCounts } from './kill-points.ts';

const DEATH_MS = 500;

/** One thing an engine does that is all or nothing. */
export interface Operation {
  readonly name: string;
  /** The tag that is there when it is done. */
  readonly result: string;
  /** Does it; true when the client was told that it is done. */
  run(daemon: TestDaemon): boolean;
}

/** A load, an import, a build of two steps, a new tag. */
export function makeOperations(): readonly Operation[] {
  const { archive } = makeImageArchive({ tags: ['loaded:v1'], files: { loaded: 'only here\n' } });
  const tar = makeRootfsTar({ imported: 'only here\n' });
  return [
    {
      name: 'load',
      result: 'loaded:v1',
      run: (daemon) => daemon.docker(['load', '-q', '-i', fileOf(daemon, 'loaded.tar', archive)]).code === 0,
    },
    {
      name: 'import',
      result: 'imported:v1',
      run: (daemon) =>
        daemon.docker(['import', fileOf(daemon, 'imported.tar', tar), 'imported:v1']).code === 0,
    },
    {
      name: 'build',
      result: 'built:v1',
      run: (daemon) => daemon.docker(['build', '-q', '-t', 'built:v1', contextOf(daemon)]).code === 0,
    },
    {
      name: 'tag',
      result: 'tagged:v1',
      run: (daemon) => daemon.docker(['tag', 'box:v1', 'tagged:v1']).code === 0,
    },
  ];
}

function fileOf(daemon: TestDaemon, name: string, bytes: Buffer): string {
  const path = join(daemon.dir, name);
  writeFileSync(path, bytes);
  return path;
}

function contextOf(daemon: TestDaemon): string {
  const context = join(daemon.dir, 'context');
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, 'file'), 'copied\n');
  writeFileSync(
    join(context, 'Dockerfile'),
    'FROM box:v1\nCOPY file /file\nRUN cat /file > /again && rm /file\n',
  );
  return context;
}

/**
 * Kills an engine in the middle of `operation` at one call after another, until the operation ends before the call
 * comes; after each death a new engine on the same root must have all that was acknowledged, nothing half done, and do
 * the operation again. Returns how many deaths there were.
 */
export async function surviveKills(
  operation: Operation,
  counts: { readonly dense: number; readonly growth: number },
): Promise<number> {
  let daemon = await startDaemon();
  let deaths = 0;
  try {
    daemon.dockerOk(['load', '-q'], { input: makeImageArchive({ tags: ['box:v1'] }).archive });
    for (const count of killCounts(counts.dense, counts.growth)) {
      const isAcknowledged = await runUntil(daemon, operation, count);
      const isDead = await hasDied(daemon);
      if (isDead) daemon = await startDaemon({ dir: daemon.dir });
      check(daemon, operation, { isAcknowledged, place: `killed at call ${count} of ${operation.name}` });
      if (!isDead) break;
      deaths += 1;
    }
  } finally {
    await daemon.dispose();
  }
  return deaths;
}

async function runUntil(daemon: TestDaemon, operation: Operation, count: number): Promise<boolean> {
  await using _ = await killAt(daemon.pid, count);
  return operation.run(daemon);
}

/** A client may be told of the end of a connection a little before the process is gone. */
async function hasDied(daemon: TestDaemon): Promise<boolean> {
  for (const end = performance.now() + DEATH_MS; performance.now() < end; await sleep(20))
    if (daemon.docker(['version']).code !== 0) return true;
  return false;
}

function check(
  daemon: TestDaemon,
  operation: Operation,
  { isAcknowledged, place }: { readonly isAcknowledged: boolean; readonly place: string },
): void {
  // A step of a killed build may stay as an untagged image, as in Docker.
  const names = daemon
    .dockerOk(['images', '--format', '{{.Repository}}:{{.Tag}}'])
    .split('\n')
    .filter((name) => operation.name !== 'build' || name !== '<none>:<none>')
    .sort();
  const after = ['box:v1', operation.result].sort();
  const expected = names.length === 1 && !isAcknowledged ? ['box:v1'] : after;
  assert.deepEqual(names, expected, `${place}: images`);
  const saved = join(daemon.dir, 'saved.tar');
  // A save reads every layer and checks it against its digest.
  for (const name of names) daemon.dockerOk(['save', '-o', saved, name]);
  rmSync(saved, { force: true });
  assert.ok(operation.run(daemon), `${place}: the operation works again\n${daemon.log()}`);
  daemon.dockerOk(['run', '--rm', '--network', 'none', operation.result, 'true']);
  daemon.dockerOk(['rmi', '-f', operation.result]);
  daemon.dockerOk(['image', 'prune', '-f']);
  daemon.dockerOk(['builder', 'prune', '-af']);
}
