/** Our name in headers and to people. */
export const PRODUCT = 'Slipway';
