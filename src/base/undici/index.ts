/** The HTTP client library, loaded at first use: it costs a megabyte of memory that an idle engine does not need. */
type Undici = typeof import('undici');

/**
 * Loads undici. It is CommonJS: from the sources Node gives its members names, from a bundle they are only on the default
 * export, so that is what is taken.
 */
export async function loadUndici(): Promise<Undici> {
  const loaded: Undici & { readonly default?: unknown } = await import('undici');
  return (loaded.default as Undici | undefined) ?? loaded;
}
