/**
 * The order of writes, seen by strace: nothing is acknowledged before it is on disk.
 *
 *     large blob   file synced → renamed → folder synced → row synced → 201
 *     small blob, manifest, tag                            row synced → 201
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { makeImage, OCTETS, RawClient, randomBlob } from './registry-client.ts';

const skip = spawnSync('strace', ['-V']).status === 0 ? false : 'strace is not installed';
const PROGRAM = resolve(import.meta.dirname, '../../src/main/hub.ts');
const TRACED = 'trace=fsync,fdatasync,rename,renameat,renameat2,pwrite64,pwritev,write,writev,sendto,sendmsg';

type Step = 'log written' | 'log synced' | 'file synced' | 'renamed' | 'folder synced' | 'created';

/** What a finished call means to us. */
function stepOf(call: string): Step | undefined {
  if (/^(?:pwrite64|pwritev|write)\(\d+<[^>]*hub\.db-wal>/.test(call)) return 'log written';
  if (/^f(?:data)?sync\(\d+<[^>]*hub\.db-wal>/.test(call)) return 'log synced';
  if (/^f(?:data)?sync\(\d+<[^>]*\/uploads\/[0-9a-f]{32}>/.test(call)) return 'file synced';
  if (/^f(?:data)?sync\(\d+<[^>]*\/blobs\/[0-9a-f]{2}>/.test(call)) return 'folder synced';
  if (/^rename\w*\(.*\/uploads\/[0-9a-f]{32}"/.test(call)) return 'renamed';
  if (/^(?:write|writev|sendto|sendmsg)\(.*HTTP\/1\.1 201/.test(call)) return 'created';
  return undefined;
}

/** Calls in the order in which they ended; syncs count by their end, the answer by its beginning. */
function readSteps(trace: string): Step[] {
  const begun = new Map<string, string>();
  const steps: Step[] = [];
  for (const line of trace.split('\n')) {
    const match = /^(\d+)\s+(.*)$/.exec(line);
    if (match === null) continue;
    const [, pid = '', text = ''] = match;
    let call = text;
    if (text.endsWith('<unfinished ...>')) {
      begun.set(pid, text);
      if (stepOf(text) !== 'created') continue;
    } else if (text.startsWith('<... ')) {
      call = begun.get(pid) ?? '';
      if (stepOf(call) === 'created') continue;
    }
    const step = stepOf(call);
    if (step !== undefined) steps.push(step);
  }
  return steps;
}

test('the disk has it before the client is told', { skip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-durability-'));
  const trace = join(dir, 'trace');
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', PROGRAM];
  const hub = ['--root', join(dir, 'root'), '--open', '--listen', '127.0.0.1:0'];
  const child = spawn('strace', ['-f', '-y', '-s', '64', '-e', TRACED, '-o', trace, ...node, ...hub], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const client = new RawClient(/http:\/\/\S+/.exec(line.toString())?.[0] ?? '');
    const image = makeImage({ layers: 1 });
    // One at a time, so that each answer has its own syncs.
    for (const blob of [...image.blobs, randomBlob(200_000)])
      assert.equal((await client.pushBlob('a/b', blob)).status, 201);
    assert.equal((await client.pushManifest('a/b', 'v1', image)).status, 201);
    const location = await client.begin('a/b');
    const large = randomBlob(100_000);
    await client.send('PATCH', location, { headers: OCTETS, body: large.bytes });
    assert.equal((await client.send('PUT', `${location}?digest=${large.digest}`)).status, 201);
  } finally {
    const ended = once(child, 'exit');
    // strace passes the end of the program on; the program itself is its only child.
    const program = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
    process.kill(Number(program), 'SIGTERM');
    await ended;
  }
  const steps = readSteps(readFileSync(trace, 'utf8'));
  rmSync(dir, { recursive: true, force: true });
  const answers: Step[][] = [[]];
  for (const step of steps) {
    answers.at(-1)?.push(step);
    if (step === 'created') answers.push([]);
  }
  const created = answers.slice(0, -1);
  assert.equal(created.length, 5);
  for (const [i, answer] of created.entries()) {
    const written = answer.lastIndexOf('log written');
    const synced = answer.lastIndexOf('log synced');
    assert.ok(written >= 0 && synced > written, `answer ${i}: ${answer.join(' → ')}`);
    if (i !== 2 && i !== 4) continue;
    const wanted: readonly Step[] = ['file synced', 'renamed', 'folder synced', 'log synced', 'created'];
    let at = -1;
    for (const step of wanted) {
      at = answer.indexOf(step, at + 1);
      assert.ok(at >= 0, `answer ${i} lacks "${step}" in its place: ${answer.join(' → ')}`);
    }
  }
});
