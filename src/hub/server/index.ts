/** The hub's HTTP side. */
export { createHubServer, type HttpHandler, type HubServer, type HubServerOptions } from './http-server.ts';
