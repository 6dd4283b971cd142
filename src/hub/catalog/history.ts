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
  /** What somebody who builds from this must know. */
  readonly gap: 'source' | 'arguments' | 'unknown' | undefined;
}

const INSTRUCTIONS =
  /^(?:FROM|ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|RUN|SHELL|STOPSIGNAL|USER|VOLUME|WORKDIR)\b/i;
const NOP = /^\/\S+(?: \S+){0,8}? #\(nop\)\s*/;
/** Such as `/bin/sh -c` or `/bin/bash -eo pipefail -c`; a SHELL instruction stands before the first other one. */
const SHELL = /^\/(?:usr\/)?bin\/(?:ba|da|a|z|k)?sh(?: -\S+(?: pipefail)?){0,8}? -[a-z]*c\s+/;
const ARGUMENTS = /^\|(\d+)\s+/;

/** Reads one line of the history. */
export function reconstruct({ created_by, comment }: HistoryEntry): Reconstructed {
  const text = String(created_by ?? '')
    .replace(/\s+# buildkit\s*$/, '')
    .trim();
  if (text === '') {
    const told = String(comment ?? '').trim();
    return unknown(told === '' ? 'a step that the history does not describe' : told);
  }
  if (NOP.test(text)) return instructionOf(text.replace(NOP, ''));
  if (ARGUMENTS.test(text)) return runOf(text);
  if (SHELL.test(text)) return run(text.replace(SHELL, ''), []);
  if (/^RUN\s/i.test(text)) return runOf(text.replace(/^RUN\s+/i, ''));
  return INSTRUCTIONS.test(text) ? instructionOf(text) : unknown(text);
}

/** A RUN, with what the build arguments were. */
function runOf(text: string): Reconstructed {
  const count = ARGUMENTS.exec(text);
  if (count === null) return run(text.replace(SHELL, ''), []);
  const rest = text.slice(count[0].length);
  const at = rest.search(/\/(?:usr\/)?bin\/(?:ba|da|a|z|k)?sh /);
  if (at < 0) return unknown(text);
  const given = rest.slice(0, at).trim();
  return run(rest.slice(at).replace(SHELL, ''), given === '' ? [] : [given]);
}

function run(command: string, given: readonly string[]): Reconstructed {
  const notes = given.flatMap((text) => comment(`build arguments: ${text}`));
  return { lines: [...notes, ...scriptOf(command)], gap: given.length > 0 ? 'arguments' : undefined };
}

/** Lines of a script that do not say that they go on were a here-document. */
function scriptOf(command: string): string[] {
  const lines = command.split(/\r?\n/);
  if (lines.slice(0, -1).every((line) => /\\\s*$/.test(line))) return bodyOf(`RUN ${command}`);
  const end = lines.includes('EOF') ? 'END_OF_SCRIPT' : 'EOF';
  return [`RUN <<${end}`, ...lines, end];
}

function instructionOf(text: string): Reconstructed {
  const match = /^(\S+)\s*([\s\S]*)$/.exec(text);
  const name = (match?.[1] ?? '').toUpperCase();
  const rest = (match?.[2] ?? '').trim();
  if (!INSTRUCTIONS.test(text)) return unknown(text);
  if (name === 'ENV' || name === 'LABEL') return known(`${name} ${quoted(rest)}`);
  if (name === 'EXPOSE') return known(`EXPOSE ${portsOf(rest)}`);
  if (name === 'VOLUME') return known(`VOLUME ${listOf(rest)}`);
  if (name === 'HEALTHCHECK') return healthcheckOf(rest);
  if ((name === 'COPY' || name === 'ADD') && /(?:^|\s)(?:file|dir|multi):[0-9a-f]{32,}/.test(rest)) {
    // The classic builder remembers a digest in place of the source, and " in " before the target.
    const plain = rest.replace(/((?:file|dir|multi):[0-9a-f]{12})[0-9a-f]*\s+in\s+/, '$1 ');
    return { lines: bodyOf(`${name} ${plain}`), gap: 'source' };
  }
  return known(`${name} ${rest}`.trimEnd());
}

/** BuildKit remembers `LABEL maintainer=A. Person` without quotes: with one key alone it is clear where they were. */
function quoted(pairs: string): string {
  const match = /^([\w.-]+)=([^"']*\s[^"']*)$/.exec(pairs);
  const [, key, value = ''] = match ?? [];
  return key === undefined || /\s[\w.-]+=/.test(value) ? pairs : `${key}="${value}"`;
}

function known(text: string): Reconstructed {
  return { lines: bodyOf(text), gap: undefined };
}

function unknown(text: string): Reconstructed {
  return { lines: comment(text), gap: 'unknown' };
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
