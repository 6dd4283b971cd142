import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { compress, decompress } from '#base/bytes/index.ts';
import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError } from '#base/errors/index.ts';
import type { DiffId, Digest } from '#oci/digest/index.ts';
import type { ChangesetDir, Changesets, LayerFacts } from '#store/changeset/types.ts';

async function facts(stream: ByteStream, indexPath: string, sink?: string): Promise<LayerFacts> {
  const hash = createHash('sha256');
  let size = 0;
  async function* pass() {
    for await (const chunk of stream) {
      hash.update(chunk);
      size += chunk.byteLength;
      yield chunk;
    }
  }
  if (sink === undefined) for await (const _ of pass());
  else await pipeline(Readable.from(pass()), createWriteStream(sink));
  const diffId = `sha256:${hash.digest('hex')}` as DiffId;
  writeFileSync(indexPath, `index of ${diffId}`);
  return { diffId, tarSizeBytes: size, contentSizeBytes: size, entries: 1, indexPath };
}
function tarOf({ dir }: ChangesetDir): ByteStream {
  const child = spawn('tar', ['--sort=name', '--numeric-owner', '--format=gnu', '-C', dir, '-cf', '-', '.'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return child.stdout as ByteStream;
}
/** Stands in for the real one: GNU tar, no whiteouts. */
export function createTestChangesets(): Changesets {
  return {
    unpackLayer: async (o) => {
      const tmp = mkdtempSync(join(tmpdir(), 'fake-'));
      try {
        const src =
          'path' in o.source ? createReadStream(o.source.path, { highWaterMark: 1 << 20 }) : o.source.stream;
        const f = await facts(
          decompress(src as ByteStream, o.compression),
          o.indexPath ?? join(tmp, 'i'),
          join(tmp, 't'),
        );
        try {
          execFileSync('tar', ['-C', o.targetDir, '-xf', join(tmp, 't')], { stdio: 'pipe' });
        } catch (e) {
          throw new CodedError('invalid_argument', String(e));
        }
        return f;
      } finally {
        rmSync(tmp, { recursive: true });
      }
    },
    describeChangeset: (s, o) => facts(tarOf(s), o.indexPath),
    packChangeset: async (s, o) => {
      const f = await facts(tarOf(s), '/dev/null');
      if (o.expect !== undefined && f.diffId !== o.expect)
        throw new CodedError('data_loss', 'not the same tar');
      await pipeline(Readable.from(compress(tarOf(s), o.format)), createWriteStream(o.outPath));
      const digest = `sha256:${createHash('sha256').update(readFileSync(o.outPath)).digest('hex')}` as Digest;
      return { digest, sizeBytes: statSync(o.outPath).size, diffId: f.diffId, tarSizeBytes: f.tarSizeBytes };
    },
    streamChangeset: (s) => tarOf(s),
    close: async () => undefined,
  };
}
