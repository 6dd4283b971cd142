/** `/build`: the classic build, and pruning of its cache. Spec: Docker Engine API, "Build an image". */
import { CodedError, messageOf } from '#base/errors/index.ts';
import { progressLine } from '#engine/protocol/index.ts';
import { formatFamiliar } from '#oci/reference/index.ts';
import type { RequestContext, Route } from '../core/index.ts';
import { publishPrune } from '../events/index.ts';
import type { BuildBackend } from './backend.ts';
import { OutputWriter } from './output-writer.ts';
import { readBuildRequest } from './request.ts';

/** Routes of the builder. */
export function createBuildRoutes(backend: BuildBackend): Route[] {
  return [
    {
      method: 'POST',
      path: '/build',
      summary: 'Build an image',
      handler: (context) => build(backend, context),
    },
    {
      method: 'POST',
      path: '/build/prune',
      summary: 'Remove unused build cache',
      since: '1.31',
      handler: (context) => prune(backend, context),
    },
  ];
}

async function build(backend: BuildBackend, context: RequestContext): Promise<void> {
  const request = readBuildRequest(context);
  await context.streamJson(async (stream) => {
    const writer = new OutputWriter(stream);
    try {
      const { imageId } = await backend.builder.build(request, {
        onOutput: (text) => writer.text(text),
        onProgress: (progress) => writer.value(progressLine(progress)),
        onImage: (id) => {
          if (context.atLeast(30)) writer.value({ aux: { ID: id } });
        },
      });
      for (const tag of request.tags) {
        backend.events.publish({
          type: 'image',
          action: 'tag',
          id: imageId,
          attributes: { name: formatFamiliar(tag) },
        });
      }
    } finally {
      await writer.flush();
    }
  });
}

const PRUNE_FILTERS = [
  'until',
  'id',
  'parent',
  'type',
  'description',
  'inuse',
  'shared',
  'private',
  'label',
  'label!',
  'unused-for',
];

async function prune(backend: BuildBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const filters = query.filters();
  try {
    filters.checkKnown(PRUNE_FILTERS);
  } catch (error) {
    throw new CodedError('invalid_argument', `failed to prune build cache: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const [until] = [...filters.get('until'), ...filters.get('unused-for')];
  const keepBytes = query.integer('keep-storage') ?? query.integer('reserved-space');
  const { ids, bytes } = await backend.builder.pruneCache({
    all: query.flag('all'),
    ...(keepBytes === undefined || keepBytes === 0 ? {} : { keepBytes }),
    ...(until === undefined ? {} : { until: parseUntil(until) }),
  });
  publishPrune(backend.events, 'builder', bytes);
  context.sendJson(200, { CachesDeleted: ids, SpaceReclaimed: bytes });
}

const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** A duration (`24h`, `1h30m`), a Unix time or an RFC 3339 time. @throws {CodedError} `invalid_argument`. */
function parseUntil(text: string): Date {
  if (/^\d+(?:\.\d+)?$/.test(text)) return new Date(Number(text) * 1000);
  if (/^(?:\d+(?:\.\d+)?(?:h|ms|m|s))+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s)/g)];
    const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS_MS[unit ?? ''] ?? 0), 0);
    return new Date(Date.now() - ms);
  }
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new CodedError('invalid_argument', `invalid filter 'until=${text}'`);
  return new Date(time);
}
