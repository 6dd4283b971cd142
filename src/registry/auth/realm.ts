/**
 * Which token service may see the credentials of a registry. A challenge is text from the network: it must not be
 * able to name an arbitrary host as the place to send a password to.
 */

/** Second-level names under which countries register domains: `x.co.uk` and `y.co.uk` belong to different people. */
const SECOND_LEVEL = new Set(['ac', 'co', 'com', 'edu', 'go', 'gob', 'gov', 'ne', 'net', 'nom', 'or', 'org']);

/** Domains whose subdomains belong to different people. */
const SHARED_DOMAINS = new Set([
  'amazonaws.com',
  'appspot.com',
  'azurecr.io',
  'azurewebsites.net',
  'cloudfront.net',
  'fly.dev',
  'github.io',
  'githubusercontent.com',
  'gitlab.io',
  'herokuapp.com',
  'netlify.app',
  'ngrok.io',
  'nip.io',
  'pages.dev',
  'run.app',
  'sslip.io',
  'vercel.app',
  'windows.net',
  'workers.dev',
]);

/** Token services on another domain than their registry's, known from their vendors' documentation. */
const KNOWN_PAIRS: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'auth.docker.io',
  'registry.hub.docker.com': 'auth.docker.io',
  'index.docker.io': 'auth.docker.io',
};

/**
 * Whether credentials for the registry at `registry` may be sent to the token service at `realm`: the same host, a
 * host of the same registrable domain, or a known pair; never from https to http.
 */
export function isTrustedRealm(
  realm: URL,
  registry: URL,
  knownPairs: Readonly<Record<string, string>> = KNOWN_PAIRS,
): boolean {
  if (realm.username !== '' || realm.password !== '') return false;
  if (realm.protocol !== 'https:' && !(realm.protocol === 'http:' && registry.protocol === 'http:'))
    return false;
  const realmHost = realm.hostname.toLowerCase();
  const registryHost = registry.hostname.toLowerCase();
  if (realmHost === registryHost) return true;
  if (knownPairs[registryHost] === realmHost) return realm.protocol === 'https:';
  const domain = registrableDomain(registryHost);
  return domain !== undefined && domain === registrableDomain(realmHost);
}

function registrableDomain(host: string): string | undefined {
  if (host.startsWith('[') || /^[0-9.]+$/.test(host)) return undefined;
  const labels = host.replace(/\.$/, '').split('.');
  const top = labels.at(-1) ?? '';
  const second = labels.at(-2) ?? '';
  const isCountryForm = top.length === 2 && SECOND_LEVEL.has(second);
  const wanted = isCountryForm ? 3 : 2;
  if (labels.length < wanted) return undefined;
  const domain = labels.slice(-wanted).join('.');
  return SHARED_DOMAINS.has(domain) ? undefined : domain;
}
