import { CodedError } from '#base/errors/index.ts';
import { type Filters, parseMoment } from '#engine/protocol/index.ts';
import type { ImageId } from '#oci/config/index.ts';
import type { DiffId } from '#oci/digest/index.ts';
import { familiarName, formatFamiliar, type Reference } from '#oci/reference/index.ts';
import type { DamagedImage, Image } from '#store/image/types.ts';
import type { RequestContext } from '../core/index.ts';
import type { ImageBackend } from './backend.ts';
import { matchesGlob } from './glob.ts';

const FILTERS = ['dangling', 'label', 'label!', 'before', 'since', 'reference', 'until'];

/** One line of `GET /images/json`. */
export interface ImageSummary {
  readonly Id: string;
  readonly ParentId: string;
  readonly RepoTags: readonly string[];
  readonly RepoDigests: readonly string[];
  readonly Created: number;
  readonly Size: number;
  readonly SharedSize: number;
  readonly VirtualSize?: number;
  readonly Labels: Readonly<Record<string, string>> | null;
  readonly Containers: number;
}

/** Which images are listed, and how. */
export interface ListOptions {
  readonly filters: Filters;
  /** Also images without a name that others are built on. */
  readonly all: boolean;
  readonly sharedSize: boolean;
  readonly countContainers: boolean;
}

/** `GET /images/json`. */
export function listImages(backend: ImageBackend, context: RequestContext): void {
  const { query } = context;
  const filters = withOldFilter(query.filters(), context);
  filters.checkKnown(FILTERS);
  const summaries = summarizeImages(backend, {
    filters,
    all: query.flag('all'),
    sharedSize: query.flag('shared-size'),
    countContainers: false,
  });
  context.sendJson(
    200,
    summaries.map((summary) => forVersion(summary, context)),
  );
}

/** Before 1.28 a name was given as `filter`. */
function withOldFilter(filters: Filters, context: RequestContext): Filters {
  const name = context.query.get('filter');
  return context.atLeast(28) || !name ? filters : filters.with('reference', name);
}

/** Fields and placeholders that older clients expect. */
function forVersion(summary: ImageSummary, context: RequestContext): ImageSummary {
  const isNameless = summary.RepoTags.length === 0 && summary.RepoDigests.length === 0;
  return {
    ...summary,
    ...(isNameless && !context.atLeast(43)
      ? { RepoTags: ['<none>:<none>'], RepoDigests: ['<none>@<none>'] }
      : {}),
    ...(context.atLeast(44) ? {} : { VirtualSize: summary.Size }),
  };
}

/** Images that pass, newest first. */
export function summarizeImages(backend: ImageBackend, options: ListOptions): readonly ImageSummary[] {
  const images = [...backend.images.listImages()];
  const parents = new Set(images.flatMap(({ parentId }) => parentId ?? []));
  const passes = compileFilters(backend, options.filters, parents);
  const shared = options.sharedSize ? sharedSizes(images) : undefined;
  const whole = images.filter((image) => (options.all || !isIntermediate(image, parents)) && passes(image));
  const listed: readonly (Image | DamagedImage)[] = [...whole, ...listDamaged(backend, options.filters)];
  return listed
    .toSorted((a, b) => timeOf(b) - timeOf(a))
    .map((image) => ({
      ...summarize(image, options.filters),
      SharedSize: shared?.get(image.id) ?? -1,
      Containers: options.countContainers ? backend.listUsers(image.id).length : -1,
    }));
}

/** Damaged images are shown too, so that they can be pulled again or removed; most filters ask for what is not known of them. */
function listDamaged(backend: ImageBackend, filters: Filters): readonly DamagedImage[] {
  if ([...filters.keys()].some((key) => key !== 'reference')) return [];
  return [...backend.images.listDamagedImages()].filter(
    ({ references, repoDigests }) =>
      !filters.has('reference') ||
      [...references, ...repoDigests].some((name) =>
        filters.some('reference', (glob) => matchesReference(glob, name)),
      ),
  );
}

function summarize(
  image: Image | DamagedImage,
  filters: Filters,
): Omit<ImageSummary, 'SharedSize' | 'Containers'> {
  const shown = (reference: Reference): boolean =>
    filters.some('reference', (glob) => matchesReference(glob, reference));
  return {
    Id: image.id,
    ParentId: 'parentId' in image ? (image.parentId ?? '') : '',
    RepoTags: image.references.filter(shown).map(formatFamiliar),
    RepoDigests: image.repoDigests.filter(shown).map(formatFamiliar),
    Created: Math.floor(timeOf(image) / 1000),
    Size: image.sizeBytes,
    Labels: 'config' in image ? (image.config.config?.Labels ?? null) : null,
  };
}

/** Nameless, and something is built on it. */
function isIntermediate(image: Image, parents: ReadonlySet<ImageId>): boolean {
  return !isNamed(image) && parents.has(image.id);
}

/** Whether a tag or digest names the image. */
export function isNamed(image: Image): boolean {
  return image.references.length > 0 || image.repoDigests.length > 0;
}

function compileFilters(
  backend: ImageBackend,
  filters: Filters,
  parents: ReadonlySet<ImageId>,
): (image: Image) => boolean {
  const dangling = filters.flag('dangling');
  const before = boundOf(backend, filters.get('before'), Math.min);
  const since = boundOf(backend, filters.get('since'), Math.max);
  const until = untilOf(filters);
  return (image) => {
    const time = timeOf(image);
    if (dangling !== undefined && dangling !== (!isNamed(image) && !parents.has(image.id))) return false;
    if (before !== undefined && time >= before) return false;
    if (since !== undefined && time <= since) return false;
    if (until !== undefined && time > until.getTime()) return false;
    if (!passesLabels(filters, image)) return false;
    const names = [...image.references, ...image.repoDigests];
    return (
      !filters.has('reference') ||
      names.some((name) => filters.some('reference', (glob) => matchesReference(glob, name)))
    );
  };
}

/** The `until` filter, one moment. @throws `invalid_argument`. */
export function untilOf(filters: Filters): Date | undefined {
  const [text, ...more] = filters.get('until');
  if (more.length > 0) throw new CodedError('invalid_argument', 'more than one until filter specified');
  return text === undefined ? undefined : parseMoment(text, new Date());
}

/** The `label` and `label!` filters. */
export function passesLabels(filters: Filters, image: Image): boolean {
  const labels = image.config.config?.Labels;
  return (
    filters.matchesLabels(labels) && (!filters.has('label!') || !filters.matchesLabels(labels, 'label!'))
  );
}

function boundOf(
  backend: ImageBackend,
  names: readonly string[],
  pick: (a: number, b: number) => number,
): number | undefined {
  const times = names.map((name) => timeOf(backend.images.getImage(name)));
  return times.length === 0 ? undefined : times.reduce(pick);
}

/** A pattern fits the whole familiar name or the name without tag and digest. */
function matchesReference(glob: string, reference: Reference): boolean {
  return matchesGlob(glob, formatFamiliar(reference)) || matchesGlob(glob, familiarName(reference));
}

function timeOf(image: Pick<Image, 'createdAt'>): number {
  return image.createdAt?.getTime() ?? 0;
}

/** For each image the bytes of its layers that some other image has too. */
function sharedSizes(images: readonly Image[]): ReadonlyMap<ImageId, number> {
  const uses = new Map<DiffId, number>();
  for (const image of images) {
    for (const diffId of new Set(image.layers.map((layer) => layer.diffId)))
      uses.set(diffId, (uses.get(diffId) ?? 0) + 1);
  }
  return new Map(
    images.map((image) => [
      image.id,
      image.layers.reduce(
        (sum, layer) => sum + ((uses.get(layer.diffId) ?? 0) > 1 ? layer.contentSizeBytes : 0),
        0,
      ),
    ]),
  );
}
