export { EventBus, type EventBusOptions, publishPrune } from './bus.ts';
export { createEventRoutes } from './routes.ts';
export type { EngineEvent, EventPublisher, EventType, NewEvent } from './types.ts';
