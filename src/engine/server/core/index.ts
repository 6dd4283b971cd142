export { currentRequest, type RequestScope, runOutsideRequests } from './scope.ts';
export { createEngineServer } from './server.ts';
export type {
  EngineServer,
  EngineServerOptions,
  HijackOptions,
  JsonStream,
  Listener,
  Method,
  Query,
  RequestContext,
  Route,
  TlsFiles,
} from './types.ts';
