import { once } from 'node:events';
import { rmSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { type ByteStream, decompress, type InputCompression } from '#base/bytes/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { DiffId, Digest } from '#oci/digest/index.ts';
import { frameHeader } from './child/frames.ts';
import type { ChildFacts, PackRequest } from './child/protocol.ts';
import { type Child, ChildPool } from './children.ts';
import type {
  ChangesetDir,
  Changesets,
  LayerFacts,
  PackOptions,
  UnpackFacts,
  UnpackOptions,
} from './types.ts';

/** Small pieces of a stream are gathered up to this. */
const FRAME_BYTES = 256 * 1024;

/** Makes the changesets of a host; children start with the first job. */
export function createChangesets(): Changesets {
  return new ChildChangesets();
}

class ChildChangesets implements Changesets {
  readonly #pool = new ChildPool();

  async unpackLayer(options: UnpackOptions): Promise<UnpackFacts> {
    const { source, signal, onProgress } = options;
    const facts = await this.#pool.use(async (child) => {
      const job = child.run(
        {
          kind: 'unpack',
          sourcePath: 'path' in source ? source.path : undefined,
          compression: options.compression,
          targetDir: options.targetDir,
          whiteouts: options.whiteouts,
          lowerDirs: options.lowerDirs ?? [],
          indexPath: options.indexPath,
          owner: options.owner,
          under: options.under,
          keepKinds: options.keepKinds === true,
          maxBytes: options.limits?.bytes,
          maxInodes: options.limits?.inodes,
        },
        { progress: onProgress, signal },
      );
      if ('path' in source) return job;
      return feed(child, plain(source.stream, options.compression, signal), job);
    });
    return unpackFactsOf(facts);
  }

  async describeChangeset(
    source: ChangesetDir,
    options: { readonly indexPath: string; readonly signal?: AbortSignal },
  ): Promise<LayerFacts> {
    const request = packRequest(source, 'nowhere', options.indexPath);
    const facts = await this.#pool.use((child) => child.run(request, { signal: options.signal }));
    return layerFactsOf(facts, options.indexPath);
  }

  async packChangeset(
    source: ChangesetDir,
    options: PackOptions & { readonly expect?: DiffId },
  ): ReturnType<Changesets['packChangeset']> {
    const to = { path: options.outPath, format: options.format, level: options.level };
    const request = packRequest(source, to, undefined);
    const facts = await this.#pool.use((child) =>
      child.run(request, { progress: options.onProgress, signal: options.signal }),
    );
    if (options.expect !== undefined && facts.diffId !== options.expect) {
      rmSync(options.outPath, { force: true });
      throw new CodedError(
        'data_loss',
        `layer ${options.expect} has changed on disk: it now is ${facts.diffId}`,
        {
          subject: { kind: 'layer', name: options.expect },
        },
      );
    }
    const { digest = '', sizeBytes = 0 } = facts.blob ?? {};
    return {
      digest: digest as Digest,
      sizeBytes,
      diffId: facts.diffId as DiffId,
      tarSizeBytes: facts.tarSizeBytes,
    };
  }

  async *streamChangeset(
    source: ChangesetDir,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const pool = this.#pool;
    // The child is taken for as long as the reader reads; one that stops early ends it.
    const turn = Promise.withResolvers<void>();
    const started = Promise.withResolvers<Child>();
    const use = pool.use(async (child) => {
      const job = child.run(packRequest(source, 'stream', undefined), { signal: options.signal });
      job.catch((error: Error) => child.output.destroy(error));
      started.resolve(child);
      await turn.promise;
      await job;
    });
    use.catch(started.reject);
    let isRead = false;
    try {
      yield* readFrames((await started.promise).output);
      isRead = true;
    } finally {
      if (isRead) turn.resolve();
      else turn.reject(new CodedError('aborted', 'the changeset was not read to its end'));
      await use.catch((error: unknown) => {
        if (isRead) throw error;
      });
    }
  }

  async close(): Promise<void> {
    this.#pool.close();
  }
}

function packRequest(
  source: ChangesetDir,
  to: PackRequest['to'],
  indexPath: string | undefined,
): PackRequest {
  return { kind: 'pack', dir: source.dir, changes: source.kind, against: source.against, indexPath, to };
}

function layerFactsOf(facts: ChildFacts, indexPath: string): LayerFacts {
  return { ...unpackFactsOf(facts), diffId: facts.diffId as DiffId, indexPath };
}

function unpackFactsOf(facts: ChildFacts): UnpackFacts {
  const { tarSizeBytes, contentSizeBytes, entries, impliedDirs = 0 } = facts;
  return { diffId: facts.diffId as DiffId | undefined, tarSizeBytes, contentSizeBytes, entries, impliedDirs };
}

/** A streamed layer is decompressed on this side: a program in the child could not stop at the end of a frame. */
function plain(
  stream: ByteStream,
  compression: InputCompression | 'auto',
  signal: AbortSignal | undefined,
): ByteStream {
  return compression === 'none'
    ? stream
    : decompress(stream, compression, signal === undefined ? {} : { signal });
}

/** Sends a stream in frames and waits for the job; whichever fails first is what happened. */
async function feed(child: Child, stream: ByteStream, job: Promise<ChildFacts>): Promise<ChildFacts> {
  let isOver = false;
  const watched = job.finally(() => {
    isOver = true;
  });
  watched.catch(() => {});
  try {
    let batch: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of stream) {
      if (isOver) break;
      batch.push(chunk);
      bytes += chunk.length;
      if (bytes < FRAME_BYTES) continue;
      if (!writeFrame(child, batch, bytes)) await Promise.race([once(child.input, 'drain'), watched]);
      batch = [];
      bytes = 0;
    }
    if (bytes > 0) writeFrame(child, batch, bytes);
    writeFrame(child, [], 0);
  } catch (error) {
    if (!isOver) throw error;
  }
  return watched;
}

/** One frame, in one system call; false when the child is behind. */
function writeFrame({ input }: Child, chunks: readonly Uint8Array[], bytes: number): boolean {
  input.cork();
  let isKeepingUp = input.write(frameHeader(bytes));
  for (const chunk of chunks) isKeepingUp = input.write(chunk);
  input.uncork();
  return isKeepingUp;
}

/** The payload of framed bytes, to the empty frame that ends them; what follows stays in the stream. */
async function* readFrames(stream: Readable): AsyncGenerator<Uint8Array, void, undefined> {
  let left = 0;
  let header = Buffer.alloc(0);
  for (;;) {
    const chunk = stream.read() as Buffer | null;
    if (chunk === null) {
      if (stream.readableEnded || stream.destroyed)
        throw new CodedError('aborted', 'the changeset ended early');
      await readableOrClosed(stream);
      continue;
    }
    for (let at = 0; at < chunk.length; ) {
      if (left > 0) {
        const bytes = chunk.subarray(at, at + left);
        at += bytes.length;
        left -= bytes.length;
        yield bytes;
        continue;
      }
      const need = chunk.subarray(at, at + 4 - header.length);
      header = Buffer.concat([header, need]);
      at += need.length;
      if (header.length < 4) continue;
      left = header.readUInt32LE();
      header = Buffer.alloc(0);
      if (left === 0) return;
    }
  }
}

function readableOrClosed(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      stream.off('readable', settle);
      stream.off('close', settle);
      resolve();
    };
    stream.on('readable', settle);
    stream.on('close', settle);
  });
}
