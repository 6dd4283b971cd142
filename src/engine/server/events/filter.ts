import type { Filters } from '#engine/protocol/index.ts';
import type { EngineEvent } from './types.ts';

const OBJECTS = [
  'config',
  'container',
  'daemon',
  'network',
  'node',
  'plugin',
  'secret',
  'service',
  'volume',
] as const;

/** Whether an event passes: values of one key are alternatives, keys are conditions. Unknown keys are none, as Docker has it. */
export function passes(filters: Filters, event: EngineEvent): boolean {
  return (
    filters.some('event', (value) => matchesAction(value, event.action)) &&
    filters.matches('type', event.type) &&
    filters.matches('scope', 'local') &&
    OBJECTS.every((key) => filters.some(key, (value) => matchesObject(value, event))) &&
    filters.some('image', (value) => matchesImage(value, event)) &&
    filters.matchesLabels(event.attributes)
  );
}

/** `exec_create: sh` passes `exec_create`, `health_status: healthy` passes `health_status`. */
function matchesAction(value: string, action: string): boolean {
  return (
    action === value ||
    (/^(?:exec_create|exec_start|health_status)$/.test(value) && action.startsWith(`${value}:`))
  );
}

function matchesObject(value: string, event: EngineEvent): boolean {
  return event.id.startsWith(value) || (event.attributes['name'] ?? '').startsWith(value);
}

function matchesImage(value: string, event: EngineEvent): boolean {
  const name = event.attributes[event.type === 'image' ? 'name' : 'image'] ?? '';
  return [event.id, name, withoutTag(name)].includes(value);
}

function withoutTag(name: string): string {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name;
}
