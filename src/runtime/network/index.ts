export { redirectQueries } from './redirect.ts';
export { bridgeResolver, parseResolvConf, type Resolver } from './resolver.ts';
export { createNetworkStore, type NetworkStoreOptions } from './store.ts';
export * from './types.ts';
