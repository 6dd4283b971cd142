import type { CliContext } from './types.ts';

/** `X-Registry-Auth` for the registry of a pull or push; empty when nothing is stored. */
export async function registryAuthHeader(
  context: CliContext,
  registry: string,
): Promise<Record<string, string>> {
  const { createCredentialStore, encodeRegistryAuth } = await import('#registry/auth/index.ts');
  const credentials = await createCredentialStore(context.configPath).find(registry);
  return credentials === undefined ? {} : { 'x-registry-auth': encodeRegistryAuth(credentials, registry) };
}

/** `X-Registry-Config` with everything stored: a build may pull from any of them. */
export async function registryConfigHeader(context: CliContext): Promise<Record<string, string>> {
  const { existsSync } = await import('node:fs');
  if (!existsSync(context.configPath)) return {};
  const { createCredentialStore, encodeRegistryConfig } = await import('#registry/auth/index.ts');
  const store = createCredentialStore(context.configPath);
  const found = new Map<string, NonNullable<Awaited<ReturnType<typeof store.find>>>>();
  for (const registry of (await store.list()).keys()) {
    const credentials = await store.find(registry);
    if (credentials !== undefined) found.set(registry, credentials);
  }
  return found.size === 0 ? {} : { 'x-registry-config': encodeRegistryConfig(found) };
}
