import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { messageOf } from '#base/errors/index.ts';
import { quote } from '#dockerfile/expand/index.ts';
import { detectSyntax, findDirective, parseHeredocWord, parseJsonArray, parseText } from './index.ts';
import type { Heredoc, Statement } from './types.ts';

const VECTORS = resolve(import.meta.dirname, '../../../../shared/data/dockerfile');
const skip = existsSync(VECTORS) ? false : `vectors are not at ${VECTORS}`;

function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(resolve(VECTORS, name), 'utf8')) as T;
}

interface Node {
  readonly value: string;
  readonly original?: string;
  readonly startLine: number;
  readonly endLine: number;
  readonly prevComment?: readonly string[];
  readonly heredocs?: readonly WireHeredoc[];
  readonly flags?: readonly string[];
  readonly children?: readonly Node[];
  readonly attributes?: Readonly<Record<string, boolean>>;
}
interface WireHeredoc {
  readonly Name: string;
  readonly FileDescriptor: number;
  readonly Expand: boolean;
  readonly Chomp: boolean;
  readonly Content: string;
}
interface ParserCase {
  readonly name: string;
  readonly dockerfile: string | null;
  readonly generate?: string;
  readonly error?: string;
  readonly dump?: string;
  readonly escape?: string;
  readonly warnings?: readonly {
    readonly short: string;
    readonly url: string;
    readonly location: { readonly Start: { readonly Line: number } };
  }[];
  readonly ast?: Node;
}

function dump(statement: Statement): string {
  const flags = statement.flags.length > 0 ? ` [${statement.flags.map(quote).join(' ')}]` : '';
  const rest = statement.trigger ? [dump(statement.trigger)] : statement.args.map(quote);
  return `(${[`${statement.keyword.toLowerCase()}${flags}`, ...rest].join(' ')})`;
}

function wire(heredoc: Heredoc): WireHeredoc {
  return {
    Name: heredoc.name,
    FileDescriptor: heredoc.fileDescriptor,
    Expand: heredoc.expand,
    Chomp: heredoc.chomp,
    Content: heredoc.content,
  };
}

function checkCase(given: ParserCase): void {
  const text = given.generate ? `FROM image\nLABEL test=${'a'.repeat(65536)}` : (given.dockerfile ?? '');
  if (given.error !== undefined) {
    assert.throws(() => parseText(text), { message: given.error });
    return;
  }
  const parsed = parseText(text);
  assert.equal(parsed.statements.map(dump).join('\n'), given.dump);
  assert.equal(parsed.escape, given.escape);
  assert.deepEqual(
    parsed.warnings.map((warning) => ({
      short: warning.message,
      line: warning.range.start,
      url: warning.url,
    })),
    (given.warnings ?? []).map((warning) => ({
      short: warning.short,
      line: warning.location.Start.Line,
      url: warning.url,
    })),
  );
  const nodes = given.ast?.children ?? [];
  assert.equal(parsed.statements.length, nodes.length);
  for (const [i, node] of nodes.entries()) {
    const statement = parsed.statements[i] as Statement;
    assert.equal(statement.keyword, node.value);
    assert.equal(statement.text, node.original);
    assert.deepEqual(statement.range, { start: node.startLine, end: node.endLine });
    assert.deepEqual(statement.comments, node.prevComment ?? []);
    assert.deepEqual(statement.heredocs.map(wire), node.heredocs ?? []);
    assert.deepEqual(statement.flags, node.flags ?? []);
    assert.equal(statement.json, node.attributes?.['json'] ?? false);
  }
}

describe('text against the recorded vectors', { skip }, () => {
  if (skip) return;
  for (const file of ['parser-cases.json', 'parser-extra.json']) {
    for (const [i, given] of vectors<ParserCase[]>(file).entries()) {
      test(`${file} ${i} ${given.name}`, () => checkCase(given));
    }
  }

  test('every recorded heredoc word is read the same way', () => {
    const cases =
      vectors<{ input: string; heredoc: WireHeredoc | null; error: string | null }[]>('heredoc-tokens.json');
    assert.ok(cases.length > 60);
    for (const { input, heredoc, error } of cases) {
      let found: WireHeredoc | null = null;
      let message: string | null = null;
      try {
        const read = parseHeredocWord(input);
        found = read === undefined ? null : wire(read);
      } catch (failure) {
        message = messageOf(failure);
      }
      assert.deepEqual({ input, found, message }, { input, found: heredoc, message: error });
    }
  });

  test('every recorded directive is found the same way', () => {
    interface DirectiveCase {
      readonly fn: string;
      readonly key?: string;
      readonly input: string;
      readonly value: string;
      readonly cmdline: string;
      readonly ok: boolean;
      readonly ranges: readonly { readonly Start: { readonly Line: number } }[] | null;
    }
    const cases = vectors<DirectiveCase[]>('directives.json');
    assert.equal(cases.length, 15);
    for (const given of cases) {
      const found =
        given.fn === 'parser.DetectSyntax'
          ? detectSyntax(given.input)
          : findDirective(given.key ?? '', given.input);
      const want = given.ok
        ? { value: given.value, cmdline: given.cmdline, line: given.ranges?.[0]?.Start.Line }
        : undefined;
      assert.deepEqual(found, want, JSON.stringify(given.input));
    }
  });

  test('every recorded JSON array is accepted or refused the same way', () => {
    const cases = vectors<{ valid: [string, string[]][]; invalid: string[] }>('json-arrays.json');
    for (const [text, want] of cases.valid) assert.deepEqual(parseJsonArray(text), want);
    for (const text of cases.invalid) {
      assert.throws(() => parseJsonArray(text), /arrays must be comprised of strings only/);
    }
  });
});
