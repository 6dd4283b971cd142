/** The hub's HTTP side. */
export { createHubApi, type HubApiOptions } from './api.ts';
export { DeviceRoutes, type DeviceServices } from './device.ts';
export { createHubServer, type HttpHandler, type HubServer, type HubServerOptions } from './http-server.ts';
export { ImageRoutes, type ImageServices } from './image-routes.ts';
export { LiveEvents } from './live.ts';
export { createPage } from './page.ts';
export { RepositoryRoutes, type RepositoryServices } from './repositories.ts';
export { createSearch, type SearchServices } from './search.ts';
export { TagRoutes, type TagServices } from './tags.ts';
