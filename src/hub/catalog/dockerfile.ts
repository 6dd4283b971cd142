import type { Attached, DockerfileDetail, DockerfileLine, RelatedImage } from '#hub/protocol/index.ts';
import type { HistoryEntry, ImageConfig } from '#oci/config/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import { isDockerfileName } from './attached.ts';
import { reconstruct } from './history.ts';
import { type DocumentReader, historyOf, type StoredImage } from './reader.ts';

/** A label of the image, or an annotation of its manifest, that holds the whole text. */
const KEY = 'slipway.dockerfile';
const TEXT_LIMIT_BYTES = 512 * 1024;
/** Values of a statement that are looked at. */
const VALUE_LIMIT = 100_000;
/** Attached blobs that are looked into. */
const CANDIDATE_LIMIT = 4;
/** Lines of a history that are read, and ARG lines remembered. */
const HISTORY_LIMIT = 2000;
const ARG_LIMIT = 50;
const STATEMENT_LIMIT_BYTES = 4 * 1024 * 1024;

const GAPS = {
  source: 'Where ADD and COPY show a digest such as file:0a1b2c, the history keeps no file name.',
  arguments: 'Build arguments stand in comments; ARG lines may be missing.',
  unknown: 'Steps that could not be read stand in comments.',
} as const;

/** The Dockerfile of an image: the one that came with it, else what its history tells. */
export class Dockerfiles {
  readonly #reader: DocumentReader;

  constructor(reader: DocumentReader) {
    this.#reader = reader;
  }

  async describe(
    repository: string,
    image: StoredImage,
    attached: readonly Attached[],
    base: { readonly image: RelatedImage; readonly host: string } | undefined,
  ): Promise<DockerfileDetail> {
    const baseHistory = base === undefined ? [] : await this.#historyOf(base.image);
    const carried = (await this.#findAttached(repository, attached)) ?? findWritten(image);
    if (carried === undefined) return reconstructed(image, base, baseHistory);
    const lines = carried.text
      .replace(/\r?\n$/, '')
      .split(/\r?\n/)
      .map((text) => ({ text, layer: null }));
    return { kind: 'carried', source: carried.source, lines, gaps: [] };
  }

  async #findAttached(repository: string, attached: readonly Attached[]): Promise<Found | undefined> {
    const blobs = attached.flatMap((each) => each.blobs.map((blob) => ({ each, blob })));
    const files = blobs.filter(
      ({ each, blob }) =>
        blob.kind === 'dockerfile' || (each.kind === 'dockerfile' && each.blobs.length === 1),
    );
    for (const { each, blob } of files.slice(0, CANDIDATE_LIMIT)) {
      const text = await this.#readText(repository, blob.digest as Digest, TEXT_LIMIT_BYTES);
      if (text !== undefined) return { text, source: `${nameOf(each)} ${each.digest}` };
    }
    const statements = blobs.filter(({ blob }) => blob.kind === 'provenance');
    for (const { blob } of statements.slice(0, CANDIDATE_LIMIT)) {
      const text = await this.#readText(repository, blob.digest as Digest, STATEMENT_LIMIT_BYTES);
      const source = text === undefined ? undefined : sourceIn(text);
      if (source !== undefined) return { text: source, source: `the provenance ${blob.digest}` };
    }
    return undefined;
  }

  async #historyOf({ repository, digest }: RelatedImage): Promise<readonly HistoryEntry[]> {
    const decoded = await this.#reader.findManifest(repository, digest);
    if (decoded?.kind !== 'manifest') return [];
    return historyOf(await this.#reader.readConfig(repository, decoded.value));
  }

  async #readText(repository: string, digest: Digest, limitBytes: number): Promise<string | undefined> {
    const bytes = await this.#reader.readBlob(repository, digest, limitBytes);
    return bytes === undefined ? undefined : strictText(bytes);
  }
}

interface Found {
  readonly text: string;
  readonly source: string;
}

function nameOf({ via }: Attached): string {
  return via === 'referrer' ? 'the referrer' : 'the attached artifact';
}

function findWritten({ manifest, config }: StoredImage): Found | undefined {
  const annotation: unknown = manifest.annotations?.[KEY];
  if (typeof annotation === 'string' && annotation !== '')
    return { text: annotation, source: `the annotation ${KEY}` };
  const label: unknown = config?.config?.Labels?.[KEY];
  return typeof label === 'string' && label !== '' ? { text: label, source: `the label ${KEY}` } : undefined;
}

/** BuildKit's provenance, of whichever version, may carry its sources: `{infos: [{filename, data}]}`. */
function sourceIn(statement: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(statement);
  } catch {
    return undefined;
  }
  const payload = (value as { readonly payload?: unknown } | null)?.payload;
  if (typeof payload === 'string') {
    const inner = strictText(Buffer.from(payload, 'base64'));
    return inner === undefined ? undefined : sourceIn(inner);
  }
  const queue: { readonly value: unknown; readonly depth: number }[] = [{ value, depth: 0 }];
  for (const { value: at, depth } of queue) {
    if (typeof at !== 'object' || at === null || depth > 8 || queue.length > VALUE_LIMIT) continue;
    const { filename, data } = at as { readonly filename?: unknown; readonly data?: unknown };
    if (typeof filename === 'string' && typeof data === 'string' && isDockerfileName(filename)) {
      const text = strictText(Buffer.from(data, 'base64'));
      if (text !== undefined && text !== '') return text;
    }
    for (const child of Object.values(at)) queue.push({ value: child, depth: depth + 1 });
  }
  return undefined;
}

function strictText(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function reconstructed(
  image: StoredImage,
  base: { readonly image: RelatedImage; readonly host: string } | undefined,
  baseHistory: readonly HistoryEntry[],
): DockerfileDetail {
  const history = historyOf(image.config);
  if (history.length === 0) return { kind: 'none', source: '', lines: [], gaps: [] };
  const lines: DockerfileLine[] = [];
  const gaps = new Set<string>();
  const skipped = base === undefined ? 0 : linesOfBase(history, base.image.sharedLayers, baseHistory);
  lines.push({ text: base === undefined ? 'FROM scratch' : fromOf(base.image, base.host), layer: null });
  if (base === undefined)
    gaps.add('No image of this hub begins like this one: FROM scratch stands for what the history shows.');
  let layer = base === undefined || skipped === 0 ? 0 : base.image.sharedLayers;
  const keys = namesIn(image.config);
  const declared: string[] = [];
  for (const entry of history.slice(skipped, skipped + HISTORY_LIMIT)) {
    const { lines: made, gap, given } = reconstruct(entry, keys);
    if (gap !== undefined) gaps.add(GAPS[gap]);
    if (made[0]?.startsWith('ARG ') && declared.length < ARG_LIMIT) declared.push(made[0].slice(4));
    const place = entry.empty_layer === true ? null : layer++;
    const undeclared = withoutDeclared(given, declared);
    if (undeclared !== '') {
      gaps.add(GAPS.arguments);
      lines.push({ text: `# build arguments: ${given.replace(/\s+/g, ' ')}`, layer: place });
    }
    lines.push(...made.map((text) => ({ text, layer: place })));
  }
  if (history.length > skipped + HISTORY_LIMIT)
    gaps.add(`Only ${HISTORY_LIMIT} lines of the history are shown.`);
  return { kind: 'reconstructed', source: 'the history of the image', lines, gaps: [...gaps] };
}

/** Names of variables and labels. */
function namesIn(config: ImageConfig | undefined): ReadonlySet<string> {
  const { Env, Labels } = config?.config ?? {};
  const env = Array.isArray(Env) ? Env.map((pair) => String(pair).split('=')[0] ?? '') : [];
  return new Set([...env, ...Object.keys(Labels ?? {})]);
}

/** What a RUN was given beyond the defaults that ARG lines show. */
function withoutDeclared(given: string, declared: readonly string[]): string {
  let rest = ` ${given} `;
  for (const pair of declared) rest = rest.replace(` ${pair} `, ' ');
  return rest.trim();
}

function fromOf({ repository, tags, digest }: RelatedImage, host: string): string {
  const [tag] = tags;
  return `FROM ${host}/${repository}${tag === undefined ? `@${digest}` : `:${tag}`}`;
}

/** How many lines are the base's: all of its history where this one begins with it, else those up to its last layer. */
function linesOfBase(
  history: readonly HistoryEntry[],
  layers: number,
  baseHistory: readonly HistoryEntry[],
): number {
  const isWhole = baseHistory.every(
    (entry, at) => entry.created_by === history[at]?.created_by && entry.created === history[at]?.created,
  );
  if (isWhole && baseHistory.length > 0) return baseHistory.length;
  let seen = 0;
  for (const [at, entry] of history.entries()) {
    if (entry.empty_layer !== true) seen++;
    if (seen === layers) return at + 1;
  }
  return 0;
}
