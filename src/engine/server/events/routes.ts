import { CodedError } from '#base/errors/index.ts';
import { parseUnixNanos } from '#engine/protocol/index.ts';
import type { RequestContext, Route } from '../core/index.ts';
import type { EventBus } from './bus.ts';
import { passes } from './filter.ts';
import type { EngineEvent } from './types.ts';

/** `GET /events`. */
export function createEventRoutes(bus: EventBus): Route[] {
  return [
    { method: 'GET', path: '/events', summary: 'Stream events', handler: (context) => stream(bus, context) },
  ];
}

async function stream(bus: EventBus, context: RequestContext): Promise<void> {
  const { query } = context;
  const filters = query.filters();
  const sinceNano = momentOf(query.get('since'));
  const untilNano = momentOf(query.get('until'));
  if (sinceNano !== undefined && untilNano !== undefined && sinceNano > untilNano) {
    throw new CodedError(
      'invalid_argument',
      `\`since\` time (${query.get('since')}) cannot be after \`until\` time (${query.get('until')})`,
    );
  }
  context.flushHeaders(200, { 'Content-Type': 'application/json' });
  const events = bus.subscribe({
    ...(sinceNano === undefined ? {} : { sinceNano }),
    ...(untilNano === undefined ? {} : { untilNano }),
    signal: context.signal,
  });
  for await (const event of events)
    if (passes(filters, event)) await context.write(`${encodeEvent(event)}\n`);
}

function momentOf(text: string | undefined): bigint | undefined {
  return text === undefined || text === '' ? undefined : parseUnixNanos(text);
}

/** The wire form; container and image events repeat some fields in the places of old clients. */
export function encodeEvent(event: EngineEvent): string {
  const { type, action, id, attributes, timeNano } = event;
  const from = type === 'container' ? { from: attributes['image'] ?? '' } : {};
  const legacy = type === 'container' || type === 'image' ? { status: action, id, ...from } : {};
  const body = {
    ...legacy,
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: attributes },
    scope: 'local',
    time: Number(timeNano / 1_000_000_000n),
  };
  // The nanoseconds do not fit a double: the digits are put in as they are.
  return `${JSON.stringify(body).slice(0, -1)},"timeNano":${timeNano}}`;
}
