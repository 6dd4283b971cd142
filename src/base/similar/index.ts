/** Names that a person may have meant by another: for "did you mean …?". */

/** Names longer than this are never near another. */
const MAX_LENGTH = 64;

/** Changes that are still a typing error. */
const MAX_CHANGES = 2;

/**
 * Levenshtein distance: how many characters must be added, removed or replaced to make `to` of `from`. Two different
 * names of which one has more than 64 characters are 64 apart.
 */
export function editDistance(from: string, to: string): number {
  if (from === to) return 0;
  if (from.length > MAX_LENGTH || to.length > MAX_LENGTH) return MAX_LENGTH;
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const change = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      row.push(Math.min(change, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[to.length] ?? 0;
}

/**
 * The option within two changes of `value` that is nearest to it, in the letter case of `value` unless case counts;
 * `undefined` when `value` is one of the options.
 */
export function findSimilar(
  value: string,
  options: readonly string[],
  { caseSensitive }: { readonly caseSensitive: boolean },
): string | undefined {
  const wanted = caseSensitive ? value : value.toLowerCase();
  let best: string | undefined;
  let bestDistance = MAX_CHANGES + 1;
  for (const option of [...options].sort()) {
    const candidate = caseSensitive ? option : option.toLowerCase();
    if (candidate === wanted) return undefined;
    const distance = editDistance(wanted, candidate);
    if (distance < bestDistance) {
      bestDistance = distance;
      best = option;
    }
  }
  if (best === undefined || caseSensitive) return best;
  return value === wanted ? best.toLowerCase() : best.toUpperCase();
}

/** `message`, with ` (did you mean X?)` when one of `options` is within two changes of `value`. */
export function withSuggestion(
  message: string,
  value: string,
  options: readonly string[],
  { caseSensitive }: { readonly caseSensitive: boolean },
): string {
  const found = findSimilar(value, options, { caseSensitive });
  return found === undefined ? message : `${message} (did you mean ${found}?)`;
}
