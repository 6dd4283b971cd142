/** Fields of documents that somebody pushed: whatever stands there, it becomes what the page expects. */

/** A text; anything else is none. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** A list of texts. */
export function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** Texts by name. */
export function mapOf(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, String(each)]));
}
