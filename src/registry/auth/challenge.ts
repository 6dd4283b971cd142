/**
 * `WWW-Authenticate` as registries send it.
 *
 *     Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull"
 *     Basic realm="Registry"
 *
 * Spec: RFC 9110, "WWW-Authenticate"; distribution token authentication.
 */

/** One challenge; the scheme and parameter names are lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Longest header we look at; a longer one is cut. */
const HEADER_LIMIT = 16 * 1024;
const TOKEN = /[A-Za-z0-9!#$%&'*+.^_`|~-]/;

/** Reads every challenge of the given header values, in order. What cannot be read is left out. Linear in the input. */
export function parseChallenges(headers: string | readonly string[] | undefined): Challenge[] {
  const values = headers === undefined ? [] : typeof headers === 'string' ? [headers] : headers;
  return values.flatMap((value) => parseHeader(value.slice(0, HEADER_LIMIT)));
}

function parseHeader(text: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  let at = 0;
  const skip = (): void => {
    while (at < text.length && /[\s,]/.test(text[at] ?? '')) at++;
  };
  const word = (): string => {
    const start = at;
    while (at < text.length && TOKEN.test(text[at] ?? '')) at++;
    return text.slice(start, at);
  };
  for (skip(); at < text.length; skip()) {
    const name = word();
    if (name === '') {
      at++;
      continue;
    }
    const afterName = at;
    while (text[at] === ' ') at++;
    const current = challenges.at(-1);
    if (text[at] === '=' && current !== undefined) {
      at++;
      while (text[at] === ' ') at++;
      const { value, end } = readValue(text, at);
      at = end;
      current.parameters[name.toLowerCase()] = value;
      continue;
    }
    at = afterName;
    challenges.push({
      scheme: name.toLowerCase(),
      parameters: Object.create(null) as Record<string, string>,
    });
  }
  return challenges;
}

function readValue(text: string, start: number): { value: string; end: number } {
  if (text[start] !== '"') {
    let end = start;
    while (end < text.length && !/[\s,]/.test(text[end] ?? '')) end++;
    return { value: text.slice(start, end), end };
  }
  let value = '';
  let at = start + 1;
  for (; at < text.length && text[at] !== '"'; at++) {
    if (text[at] === '\\' && at + 1 < text.length) at++;
    value += text[at];
  }
  return { value, end: at + 1 };
}
