/** "did you mean …?": the nearest of some names, when it is near enough. */

/** Changes that are still a typing error. */
const DISTANCE_LIMIT = 3;

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

/** The option nearest to `value`, in the letter case of `value` unless case counts. */
export function findSimilar(
  value: string,
  options: readonly string[],
  { caseSensitive }: { readonly caseSensitive: boolean },
): string | undefined {
  const wanted = caseSensitive ? value : value.toLowerCase();
  let best: string | undefined;
  let bestDistance = DISTANCE_LIMIT;
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

/** Levenshtein distance; `DISTANCE_LIMIT` stands for everything at or above it. */
function editDistance(from: string, to: string): number {
  if (Math.abs(from.length - to.length) >= DISTANCE_LIMIT) return DISTANCE_LIMIT;
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const change = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      row.push(Math.min(change, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return Math.min(previous[to.length] ?? 0, DISTANCE_LIMIT);
}
