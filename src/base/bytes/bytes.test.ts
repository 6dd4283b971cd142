import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import zlib from 'node:zlib';
import {
  collectBytes,
  compress,
  countBytes,
  decompress,
  detectCompression,
  findProgram,
  hashBytes,
  limitBytes,
  peekBytes,
} from './index.ts';
import type { InputCompression } from './types.ts';

async function* chunksOf(data: Uint8Array, step = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += step) yield data.subarray(at, at + step);
}

async function gather(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return collectBytes(stream, { maxBytes: 1 << 30, what: 'test' });
}

const data = Buffer.concat([randomBytes(300_000), Buffer.alloc(700_000, 'ab')]);
const run = (name: string, ...args: string[]) =>
  execFileSync(name, args, { input: data, maxBuffer: 1 << 28 });
const encoders: Readonly<Record<InputCompression, () => Buffer>> = {
  none: () => data,
  gzip: () => zlib.gzipSync(data),
  zstd: () => zlib.zstdCompressSync(data, { params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 } }),
  xz: () => run('xz', '-c'),
  bzip2: () => run('bzip2', '-c'),
};

describe('base/bytes', () => {
  for (const [format, encode] of Object.entries(encoders) as [InputCompression, () => Buffer][]) {
    const missing = format === 'xz' || format === 'bzip2' ? findProgram(format) === undefined : false;
    const options = missing ? { skip: `${format} is not installed` } : {};
    it(`finds out and reads ${format}`, options, async () => {
      const encoded = encode();
      assert.equal(detectCompression(encoded.subarray(0, 6)), format);
      assert.ok((await gather(decompress(chunksOf(encoded), 'auto'))).equals(data));
    });
    if (format === 'none') continue;
    it(`reads ${format} members one after another`, options, async () => {
      const twice = Buffer.concat([encode(), encode()]);
      assert.equal((await gather(decompress(chunksOf(twice), format))).length, 2 * data.length);
    });
    it(`refuses ${format} that is cut short, damaged, or followed by other bytes`, options, async () => {
      const whole = encode();
      const damaged = Buffer.from(whole);
      damaged[100_000] = (damaged[100_000] ?? 0) ^ 0xff;
      const cases = [
        whole.subarray(0, -3),
        whole.subarray(0, 5000),
        damaged,
        Buffer.concat([whole, Buffer.from('garbage')]),
      ];
      for (const bad of cases) {
        await assert.rejects(gather(decompress(chunksOf(bad), format)), {
          code: 'invalid_argument',
          message: /^invalid \w+ data: /,
        });
      }
    });
    it(`ends its ${format} decoder when the reader leaves or aborts`, options, async () => {
      for await (const _ of decompress(chunksOf(encode()), format)) break;
      const stop = new AbortController();
      const reading = (async () => {
        for await (const _ of decompress(chunksOf(encode()), format, { signal: stop.signal }))
          stop.abort(new Error('left'));
      })();
      await assert.rejects(reading, /left/);
    });
  }

  it('reads a hundred thousand empty gzip members without recursion', async () => {
    const members = Buffer.concat(Array(100_000).fill(zlib.gzipSync('')));
    assert.equal((await gather(decompress(chunksOf(members), 'gzip'))).length, 0);
  });

  it('refuses a zstd window over 128 MiB', {
    skip: findProgram('zstd') ? false : 'zstd is not installed',
  }, async () => {
    const wide = execFileSync('zstd', ['-q', '-c', '--long=28', '--no-content-size'], {
      input: Buffer.alloc(1000),
      maxBuffer: 1 << 28,
    });
    await assert.rejects(gather(decompress(chunksOf(wide), 'zstd')), { code: 'invalid_argument' });
  });

  it('writes gzip and zstd that read back', async () => {
    for (const format of ['none', 'gzip', 'zstd'] as const) {
      const encoded = await gather(compress(chunksOf(data), format));
      assert.ok((await gather(decompress(chunksOf(encoded), format))).equals(data));
    }
  });

  it('passes the failure of its source on as it is', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield zlib.gzipSync(data).subarray(0, 1000);
      throw new Error('connection lost');
    }
    await assert.rejects(gather(decompress(broken(), 'gzip')), /^Error: connection lost/);
  });

  it('counts, limits, hashes and peeks without changing the bytes', async () => {
    const counts: number[] = [];
    const hashed = hashBytes(countBytes(chunksOf(data, 400_000), (bytes) => counts.push(bytes)));
    const { head, stream } = await peekBytes(hashed.stream, 500_000);
    assert.ok(head.equals(data.subarray(0, 500_000)));
    assert.ok((await gather(stream)).equals(data));
    assert.deepEqual(counts, [400_000, 800_000, 1_000_000]);
    assert.equal(hashed.digest(), `sha256:${createHash('sha256').update(data).digest('hex')}`);
    assert.equal(hashed.sizeBytes, data.length);
    await assert.rejects(
      gather(limitBytes(chunksOf(data), { maxBytes: 999_999, what: 'manifest' })),
      /manifest is larger than 999999 bytes/,
    );
  });
});
