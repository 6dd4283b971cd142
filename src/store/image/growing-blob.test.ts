import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { GrowingFile } from './growing-blob.ts';

async function withFolder(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-growing-'));
  try {
    await body(dir);
    const held = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ''; // the folder that was just listed
      }
    });
    assert.ok(!held.some((path) => path.startsWith(dir)), 'no descriptor stays open');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Reads to the end; `seen` are the bytes so far. */
function follow(blob: GrowingFile): { readonly whole: Promise<Buffer>; seen(): number } {
  const parts: Buffer[] = [];
  const whole = (async () => {
    for await (const part of blob.open()) parts.push(Buffer.from(part));
    return Buffer.concat(parts);
  })();
  return { whole, seen: () => parts.reduce((sum, part) => sum + part.length, 0) };
}

test('readers get the bytes of a growing file before it is whole, and all of them', () =>
  withFolder(async (dir) => {
    const path = join(dir, 'a');
    const blob = new GrowingFile(path);
    const early = follow(blob);
    appendFileSync(path, Buffer.alloc(300_000, 'a'));
    blob.grew();
    while (early.seen() === 0) await turn();
    const late = follow(blob);
    appendFileSync(path, Buffer.alloc(10, 'b'));
    await turn();
    blob.end();
    assert.equal(blob.isGrowing, false);
    renameSync(path, join(dir, 'b'));
    const expected = Buffer.concat([Buffer.alloc(300_000, 'a'), Buffer.alloc(10, 'b')]);
    assert.ok((await early.whole).equals(expected));
    assert.ok((await late.whole).equals(expected));
    await assert.rejects(follow(blob).whole, { code: 'failed_precondition' });
  }));

test('readers of a file that will never be whole get the reason', () =>
  withFolder(async (dir) => {
    const blob = new GrowingFile(join(dir, 'a'));
    const reader = follow(blob);
    await turn();
    blob.fail(new Error('the compressor ended'));
    await assert.rejects(reader.whole, /the compressor ended/);
  }));

test('a reader that stops early does not hold the file', () =>
  withFolder(async (dir) => {
    const path = join(dir, 'a');
    const blob = new GrowingFile(path);
    appendFileSync(path, Buffer.alloc(300_000, 'a'));
    for await (const part of blob.open()) {
      assert.ok(part.length > 0);
      break;
    }
    blob.end();
  }));
