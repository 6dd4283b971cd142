/**
 * The instructions behind an image's history, as far as it tells. Builders write them in these forms:
 *
 *     /bin/sh -c #(nop)  CMD ["sh"]                 classic builder, not RUN
 *     /bin/sh -c apt-get update                     classic builder, RUN
 *     |1 VERSION=2 /bin/sh -c make                  … with build arguments
 *     RUN /bin/sh -c make # buildkit                BuildKit, RUN; `RUN |1 VERSION=2 /bin/sh -c make # buildkit`
 *     COPY app.py /app/ # buildkit                  BuildKit, anything else
 */
import type { HistoryEntry } from '#oci/config/index.ts';

/** What one line of the history becomes. */
export interface Reconstructed {
  /** One or more lines of a Dockerfile. */
  readonly lines: readonly string[];
  /** Build arguments a RUN was given, such as `A=1 B=2`. */
  readonly given: string;
  /** What somebody who builds from this must know. */
  readonly gap: 'source' | 'unknown' | undefined;
}

/** Longer lines are cut. */
const TEXT_LIMIT = 32 * 1024;
const MARK = '# buildkit';
const INSTRUCTIONS =
  /^(?:FROM|ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|RUN|SHELL|STOPSIGNAL|USER|VOLUME|WORKDIR)\b/i;
const NOP = /^\/\S+(?: \S+){0,8}? #\(nop\)\s*/;
/** Such as `/bin/sh -c` or `/bin/bash -eo pipefail -c`; a SHELL instruction stands before the first other one. */
const SHELL = /^\/(?:usr\/)?bin\/(?:ba|da|a|z|k)?sh(?: -\S+(?: pipefail)?){0,8}? -[a-z]*c\s+/;
const ARGUMENTS = /^\|(\d+)\s+/;

const NO_KEYS: ReadonlySet<string> = new Set();

/** Reads one line of the history. `keys` are names of the image's variables and labels: the history has lost the quotes. */
export function reconstruct(
  { created_by, comment }: HistoryEntry,
  keys: ReadonlySet<string> = NO_KEYS,
): Reconstructed {
  const text = withoutMark(String(created_by ?? '').slice(0, TEXT_LIMIT));
  if (text === '') {
    const told = String(comment ?? '')
      .slice(0, TEXT_LIMIT)
      .trim();
    return unknown(told === '' ? 'a step that the history does not describe' : told);
  }
  if (NOP.test(text)) return instructionOf(text.replace(NOP, ''), keys);
  if (ARGUMENTS.test(text)) return runOf(text);
  if (SHELL.test(text)) return run(text.replace(SHELL, ''), '');
  if (/^RUN\s/i.test(text)) return runOf(text.replace(/^RUN\s+/i, ''));
  return INSTRUCTIONS.test(text) ? instructionOf(text, keys) : unknown(text);
}

/** No expression here may look at the same text again and again: somebody pushed it. */
function withoutMark(text: string): string {
  const trimmed = text.trim();
  return trimmed.endsWith(MARK) ? trimmed.slice(0, -MARK.length).trimEnd() : trimmed;
}

/** A RUN, with what the build arguments were. */
function runOf(text: string): Reconstructed {
  const count = ARGUMENTS.exec(text);
  if (count === null) return run(text.replace(SHELL, ''), '');
  const rest = text.slice(count[0].length);
  const at = rest.search(/\/(?:usr\/)?bin\/(?:ba|da|a|z|k)?sh /);
  if (at < 0) return unknown(text);
  return run(rest.slice(at).replace(SHELL, ''), rest.slice(0, at).trim());
}

function run(command: string, given: string): Reconstructed {
  return { lines: scriptOf(command), given, gap: undefined };
}

/** Lines of a script that do not say that they go on were a here-document. */
function scriptOf(command: string): string[] {
  const lines = command.split(/\r?\n/);
  if (lines.slice(0, -1).every((line) => /\\\s*$/.test(line))) return bodyOf(`RUN ${command}`);
  const end = lines.includes('EOF') ? 'END_OF_SCRIPT' : 'EOF';
  return [`RUN <<${end}`, ...lines, end];
}

function instructionOf(text: string, keys: ReadonlySet<string>): Reconstructed {
  const match = /^(\S+)\s*([\s\S]*)$/.exec(text);
  const name = (match?.[1] ?? '').toUpperCase();
  const rest = (match?.[2] ?? '').trim();
  if (!INSTRUCTIONS.test(text)) return unknown(text);
  if (name === 'ENV' || name === 'LABEL') return known(`${name} ${quoted(rest, keys)}`);
  if (name === 'EXPOSE') return known(`EXPOSE ${portsOf(rest)}`);
  if (name === 'VOLUME') return known(`VOLUME ${listOf(rest)}`);
  if (name === 'HEALTHCHECK') return healthcheckOf(rest);
  if ((name === 'COPY' || name === 'ADD') && /(?:^|\s)(?:file|dir|multi):[0-9a-f]{32,}/.test(rest)) {
    // The classic builder remembers a digest in place of the source, and " in " before the target.
    const plain = rest.replace(/((?:file|dir|multi):[0-9a-f]{12})[0-9a-f]*\s+in\s+/, '$1 ');
    return { lines: bodyOf(`${name} ${plain}`), given: '', gap: 'source' };
  }
  return known(`${name} ${rest}`.trimEnd());
}

/**
 * `A=one two B=3` was written `A="one two" B=3`: where one of `keys` begins, the value before it has ended. With one pair
 * alone that is clear without `keys`.
 */
function quoted(text: string, keys: ReadonlySet<string>): string {
  if (/["'\\]/.test(text)) return text;
  const starts = [...text.matchAll(/(?<=^|\s)([\w.-]+)=/g)].filter(
    ({ 1: key = '' }, at) => at === 0 || keys.has(key),
  );
  if (starts[0]?.index !== 0) return text;
  const isCertain = starts.length > 1 || keys.has(starts[0][1] ?? '') || !/\s[\w.-]+=/.test(text);
  if (!isCertain) return text;
  const pairs = starts.map((start, at) => {
    const key = start[1] ?? '';
    const value = text.slice(start.index + key.length + 1, starts[at + 1]?.index ?? text.length).trim();
    return /\s/.test(value) ? `${key}="${value}"` : `${key}=${value}`;
  });
  return pairs.join(' ');
}

function known(text: string): Reconstructed {
  return { lines: bodyOf(text), given: '', gap: undefined };
}

function unknown(text: string): Reconstructed {
  return { lines: comment(text), given: '', gap: 'unknown' };
}

function comment(text: string): string[] {
  return text.split(/\r?\n/).map((line) => `# ${line}`);
}

/** Lines that go on must say so, or the rest would be instructions of its own. */
function bodyOf(text: string): string[] {
  const lines = text.split(/\r?\n/);
  return lines.map((line, at) => (at === lines.length - 1 || /\\\s*$/.test(line) ? line : `${line} \\`));
}

/** `map[80/tcp:{} 443/tcp:{}]` or plain words. */
function portsOf(text: string): string {
  const map = /^map\[([\s\S]*)\]$/.exec(text);
  return map === null ? text : (map[1] ?? '').replaceAll(':{}', '');
}

/** `[/data /log]` is how Go prints a list; JSON stays as it is. */
function listOf(text: string): string {
  if (!/^\[.*\]$/.test(text) || /^\[\s*"/.test(text)) return text;
  return JSON.stringify(
    text
      .slice(1, -1)
      .split(/\s+/)
      .filter((part) => part !== ''),
  );
}

/** `&{["CMD-SHELL" "curl -f http://localhost/"] "30s" "3s" "0s" "0s" '\x03'}` is how Go prints a health check. */
function healthcheckOf(text: string): Reconstructed {
  const match = /^&\{\[([\s\S]*)\] "([^"]*)" "([^"]*)" "([^"]*)"/.exec(text);
  if (match === null) return known(`HEALTHCHECK ${text}`);
  const [, list = '', interval = '', timeout = '', start = ''] = match;
  const words = [...list.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) =>
    word.replace(/\\(["\\])/g, '$1'),
  );
  if (words[0] === 'NONE') return known('HEALTHCHECK NONE');
  const options = [
    ['interval', interval],
    ['timeout', timeout],
    ['start-period', start],
  ]
    .filter(([, value]) => value !== '' && value !== '0s')
    .map(([option, value]) => `--${option}=${value} `)
    .join('');
  const command = words[0] === 'CMD-SHELL' ? words.slice(1).join(' ') : JSON.stringify(words.slice(1));
  return known(`HEALTHCHECK ${options}CMD ${command}`);
}
