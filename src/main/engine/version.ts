import manifest from '../../../package.json' with { type: 'json' };

/** Our name in headers and to people. */
export const PRODUCT = 'Slipway';
/** Version of this package. */
export const VERSION: string = manifest.version;
