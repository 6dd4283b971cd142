export type { ContainerParts } from './context.ts';
export { isRunning } from './context.ts';
export { parseLink } from './links.ts';
export { dnsNames } from './resolver.ts';
export { createContainerService } from './service.ts';
export { commandOf, parseSignal } from './settings.ts';
export { frame } from './streams.ts';
export * from './types.ts';
export type * from './wire.ts';
