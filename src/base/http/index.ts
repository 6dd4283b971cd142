export { parseJsonBody, readBody } from './body.ts';
export { checkHost, checkOrigin, countHostHeaders, HTTP_LIMITS, isLoopbackHost } from './guard.ts';
export { type Match, Router } from './router.ts';
