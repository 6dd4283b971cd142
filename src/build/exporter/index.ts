export { listDiffIds, registerLayers } from './chain.ts';
export { encodeImage, type ImageState } from './config.ts';
export { type BuiltStage, Ledger, type LedgerOptions } from './ledger.ts';
