export {
  type CallOptions,
  createEngineClient,
  type EngineClient,
  encodeQuery,
  type HijackedStream,
  type Method,
  parseJsonStream,
  type Query,
} from './client.ts';
export type { EngineResponse } from './connection.ts';
export { type EngineEndpoint, type EngineTls, parseEndpoint, readTlsFolder } from './endpoint.ts';
export { type OutputPiece, readFrames } from './frames.ts';
