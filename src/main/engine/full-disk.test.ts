import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import { createFullDiskExplainer, type FullDiskFacts } from './full-disk.ts';

const MB = 1_000_000;

function explainerOf(usage: object | Error): (error: unknown) => Promise<unknown> {
  const diskUsage = async (): Promise<never> => {
    if (usage instanceof Error) throw usage;
    return { images: [], buildCache: [], containers: [], volumes: [], ...usage } as never;
  };
  return createFullDiskExplainer({ root: tmpdir(), system: { diskUsage } as FullDiskFacts['system'] });
}

const full = (): Error =>
  Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
    errno: -28,
    syscall: 'write',
  });

test('the failure of a full disk says how full it is, what can be freed and how', async () => {
  const explain = explainerOf({
    images: [
      { Size: 30 * MB, SharedSize: 10 * MB, Containers: 0 },
      { Size: 500 * MB, SharedSize: 0, Containers: 1 },
    ],
    buildCache: [
      { Size: 7 * MB, InUse: false },
      { Size: 900 * MB, InUse: true },
    ],
  });
  const error = await explain(new CodedError('internal', 'cannot write x', { cause: full() }));
  assert.ok(error instanceof CodedError);
  assert.equal(error.message, 'cannot write x');
  assert.match(
    error.help?.cause ?? '',
    /^the file system of .* is full \(.* of .* free now\); can be freed: 7MB of build cache, 20MB of images without containers$/,
  );
  assert.deepEqual(error.help?.fix, [
    'docker builder prune -af',
    'docker image prune -a',
    'docker system df',
  ]);
});

test('a full disk is still named when nothing can be found out, and other failures stay as they are', async () => {
  const failing = explainerOf(new Error('database is gone'));
  const error = await failing(full());
  assert.ok(error instanceof CodedError);
  assert.deepEqual(error.help, { id: 'disk/full', fix: ['docker system df'] });
  const other = new CodedError('not_found', 'no such image');
  assert.equal(await failing(other), other);
});
