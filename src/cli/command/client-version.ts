/** The version of this program; the build checks that package.json says the same. */
export const CLIENT_VERSION = '0.1.0';
/** The newest Engine API this client speaks. */
export const CLIENT_API_VERSION = '1.47';
