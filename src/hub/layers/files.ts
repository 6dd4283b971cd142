import { createHash } from 'node:crypto';
import { Semaphore } from '#base/async/index.ts';
import { CodedError } from '#base/errors/index.ts';
import type { FileListing, FilePreview, Indexed, LayerProblem, WasteReport } from '#hub/protocol/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { type LayerListState, LayerLists, type LayerSources } from './lists.ts';
import { runLayerProgram } from './program.ts';
import type { FilePlace } from './tree.ts';
import type { TreeQuestion } from './tree-worker.ts';
import { ImageTrees, type TreeAnswers } from './trees.ts';

/** How much of a file is shown. */
const PREVIEW_BYTES = 256 * 1024;
const PREVIEW_TIMEOUT_MS = 60_000;
const PREVIEWS = 2;
const PREVIEW_QUEUE = 32;
const PREVIEWS_KEPT = 32;
/** How long a question waits for lists that are being made before it says how far they are. */
const WAIT_MS = 1500;
/** Bytes in which text has no NUL. */
const SNIFF_BYTES = 8192;
const EMPTY = new Uint8Array();

/** Layers of an image in a repository, from the first on. */
export interface LayeredImage {
  readonly repository: string;
  readonly layers: readonly Digest[];
}

/** The files of images: who asks must have the right to pull from the repository. */
export class ImageFiles {
  readonly #lists: LayerLists;
  readonly #trees = new ImageTrees();
  readonly #turns = new Semaphore(PREVIEWS);
  readonly #previews = new Map<string, FilePreview>();
  readonly #stop = new AbortController();
  #waiting = 0;

  constructor(sources: LayerSources) {
    this.#lists = new LayerLists(sources);
  }

  waste(image: LayeredImage): Promise<Indexed<WasteReport>> {
    return this.#ask(image, { kind: 'waste' });
  }

  /** @throws {CodedError} `not_found`. */
  list(image: LayeredImage, layer: number | null, path: string): Promise<Indexed<FileListing>> {
    return this.#ask(image, { kind: 'list', layer, path });
  }

  find(image: LayeredImage, layer: number | null, text: string): Promise<Indexed<FileListing>> {
    return this.#ask(image, { kind: 'find', layer, text });
  }

  /**
   * The beginning of a file, read from its layer no further than needed.
   * @throws {CodedError} `not_found`, `invalid_argument` for what is no file, `resource_exhausted`, `failed_precondition`
   *   while the layers are being read.
   */
  async preview(image: LayeredImage, layer: number | null, path: string): Promise<FilePreview> {
    const place = await this.#ask(image, { kind: 'locate', layer, path });
    if (place.state === 'indexing')
      throw new CodedError('failed_precondition', 'the layers of this image are still being read');
    const digest = image.layers[place.layer];
    if (digest === undefined) throw new CodedError('not_found', `there is no layer ${place.layer}`);
    const key = `${digest} ${place.layer} ${place.offset} ${place.path}`;
    const known = this.#previews.get(key) ?? (await this.#excerpt(image.repository, digest, place));
    this.#previews.delete(key);
    this.#previews.set(key, known);
    if (this.#previews.size > PREVIEWS_KEPT) this.#previews.delete(this.#previews.keys().next().value ?? '');
    return known;
  }

  async close(): Promise<void> {
    this.#stop.abort(new CodedError('aborted', 'the hub ends'));
    await this.#lists.close();
    await this.#trees.close();
  }

  async #ask<Q extends TreeQuestion>(
    { repository, layers }: LayeredImage,
    question: Q,
  ): Promise<Indexed<TreeAnswers[Q['kind']]>> {
    const states = await this.#lists.ensure(repository, layers, WAIT_MS);
    const pending = states.filter((state) => state.state === 'indexing');
    if (pending.length > 0) return progressOf(states);
    const key = createHash('sha256')
      .update(JSON.stringify(states.map((state, at) => [layers[at], state.state])))
      .digest('hex');
    const answer = await this.#trees.ask(key, question, () => this.#load(states));
    const problems = states.flatMap((state, layer): LayerProblem[] =>
      state.state === 'failed' ? [{ layer, message: state.message }] : [],
    );
    return { state: 'ready', problems, ...answer };
  }

  async #load(states: readonly LayerListState[]): Promise<readonly Uint8Array[]> {
    const lists: Uint8Array[] = [];
    for (const state of states)
      lists.push(state.state === 'ready' ? await this.#lists.read(state.key, state.sizeBytes) : EMPTY);
    return lists;
  }

  async #excerpt(repository: string, digest: Digest, place: FilePlace): Promise<FilePreview> {
    const { path, layer, sizeBytes, offset } = place;
    const base = { path, layer, sizeBytes };
    if (sizeBytes === 0) return { ...base, isBinary: false, text: '', isTruncated: false };
    if (offset < 0) throw new CodedError('unimplemented', `/${path} is sparse: it is not shown`);
    if (this.#waiting >= PREVIEW_QUEUE)
      throw new CodedError('resource_exhausted', 'many files are being read; try again in a moment', {
        data: { retryAfterSeconds: 5 },
      });
    this.#waiting++;
    try {
      const wanted = Math.min(sizeBytes, PREVIEW_BYTES);
      const bytes = await this.#turns.run(
        () => this.#read(repository, digest, offset, wanted),
        this.#stop.signal,
      );
      const text = textOf(bytes, { isTruncated: wanted < sizeBytes });
      return { ...base, isBinary: text === undefined, text: text ?? '', isTruncated: wanted < sizeBytes };
    } finally {
      this.#waiting--;
    }
  }

  async #read(repository: string, digest: Digest, offset: number, sizeBytes: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    await runLayerProgram(
      { kind: 'excerpt', offset, sizeBytes },
      {
        source: await this.#lists.openLayer(repository, digest),
        onOutput: (chunk) => void chunks.push(chunk),
        timeoutMs: PREVIEW_TIMEOUT_MS,
        signal: this.#stop.signal,
      },
    );
    return Buffer.concat(chunks);
  }
}

function progressOf<T>(states: readonly LayerListState[]): Indexed<T> {
  let readBytes = 0;
  let totalBytes = 0;
  let readyLayers = 0;
  for (const state of states) {
    if (state.state !== 'indexing') {
      readyLayers++;
      continue;
    }
    readBytes += state.readBytes;
    totalBytes += state.totalBytes;
  }
  return { state: 'indexing', readyLayers, layers: states.length, readBytes, totalBytes };
}

/** UTF-8 text, or `undefined`. A character that the end cuts in two is left out. */
function textOf(bytes: Buffer, { isTruncated }: { readonly isTruncated: boolean }): string | undefined {
  if (bytes.subarray(0, SNIFF_BYTES).includes(0)) return undefined;
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    return decoder.decode(bytes, { stream: isTruncated });
  } catch {
    return undefined;
  }
}
