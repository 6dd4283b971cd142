import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodedError } from '#base/errors/index.ts';
import { formatError } from './error.ts';
import { escapeLine, escapeText } from './escape.ts';
import { formatList } from './list.ts';
import { createProgressView } from './progress.ts';
import { formatTable } from './table.ts';
import { compileTemplate } from './template.ts';
import { formatAge, formatDuration, formatSize, parseSize } from './units.ts';

test('templates do what people use them for', () => {
  const value = {
    ID: 'abc',
    State: { Status: 'running', Pid: 7 },
    Config: { Env: ['A=1', 'B=2'], Labels: { b: '2', a: '1' }, Entrypoint: null },
    Ports: [],
    Ok: true,
  };
  const rows: [string, string][] = [
    ['{{.ID}}', 'abc'],
    ['{{ .State.Status }}/{{.State.Pid}}', 'running/7'],
    ['{{json .Config.Env}}', '["A=1","B=2"]'],
    ['{{.Config.Env}}', '[A=1 B=2]'],
    ['{{.Config.Labels}}', 'map[a:1 b:2]'],
    ['{{.Config.Entrypoint}}', '<no value>'],
    ['{{index .Config.Labels "a"}}{{index .Config.Env 1}}', '1B=2'],
    ['{{range .Config.Env}}[{{.}}]{{end}}', '[A=1][B=2]'],
    ['{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}', 'a=1;b=2;'],
    ['{{range .Ports}}x{{else}}none{{end}}', 'none'],
    ['{{if .Ok}}yes{{else}}no{{end}}', 'yes'],
    ['{{if eq .ID "x"}}1{{else if eq .ID "abc"}}2{{else}}3{{end}}', '2'],
    ['{{with .State}}{{.Pid}} {{$.ID}}{{end}}', '7 abc'],
    ['{{$x := .ID}}{{$x}}', 'abc'],
    ['{{.ID | upper | printf "%-5s|"}}', 'ABC  |'],
    ['{{join .Config.Env ","}} {{len .Config.Env}}', 'A=1,B=2 2'],
    ['a {{- .ID -}} b', 'aabcb'],
    ['{{"}}"}}{{/* comment */}}', '}}'],
    ['{{(index .Config.Env 0)}}', 'A=1'],
    ['{{json "<&>"}}', '"\\u003c\\u0026\\u003e"'],
    ['{{println .ID}}', 'abc\n'],
    ['{{and .Ok .ID}} {{or .Ports .ID}} {{not .Ok}}', 'abc abc false'],
  ];
  for (const [template, want] of rows) assert.equal(compileTemplate(template)(value), want, template);
});

test('bad templates and unknown fields are told in the words of docker', () => {
  for (const [template, message] of [
    ['{{.Nope}}', /map has no entry for key "Nope"/],
    ['{{nope .}}', /function "nope" not defined/],
    ['{{.ID', /unclosed action/],
    ['{{if .ID}}', /unexpected EOF/],
    ['{{end}}', /unexpected \{\{end\}\}/],
    ['{{}}', /missing value for command/],
    ['{{index .List 9}}', /index out of range/],
    ['{{constructor}}', /function "constructor" not defined/],
    ['{{.__proto__}}', /no entry for key/],
  ] as const)
    assert.throws(() => compileTemplate(template)({ ID: '', List: [1] }), message, template);
});

test('sizes, ages and durations read as docker prints them', () => {
  const sizes: [number, string][] = [
    [0, '0B'],
    [999, '999B'],
    [1000, '1kB'],
    [1_240_000, '1.24MB'],
    [77_800_000, '77.8MB'],
    [123_456_789_000, '123GB'],
  ];
  for (const [bytes, want] of sizes) assert.equal(formatSize(bytes), want);
  const durations: [number, string][] = [
    [0, 'Less than a second'],
    [1000, '1 second'],
    [59_000, '59 seconds'],
    [60_000, 'About a minute'],
    [46 * 60_000, '46 minutes'],
    [60 * 60_000, 'About an hour'],
    [47 * 3_600_000, '47 hours'],
    [3 * 86_400_000, '3 days'],
    [20 * 86_400_000, '2 weeks'],
    [100 * 86_400_000, '3 months'],
    [3 * 365 * 86_400_000, '3 years'],
  ];
  for (const [ms, want] of durations) assert.equal(formatDuration(ms), want);
  assert.equal(formatAge(0), 'N/A');
  assert.deepEqual(['10', '1k', '1.5g', '2MB', '4KiB', 'x', '-1', ''].map(parseSize), [
    10,
    1024,
    1.5 * 1024 ** 3,
    2 * 1024 ** 2,
    4096,
    undefined,
    undefined,
    undefined,
  ]);
});

test('what would move the cursor or reorder the text is shown as escapes', () => {
  assert.equal(escapeText('a\x1b[2J\tb\n\u202ec\x7f'), 'a\\x1b[2J\tb\n\\u202ec\\x7f');
  assert.equal(escapeLine('a\nb\tc'), 'a\\nb\\tc');
  assert.equal(escapeText('日本語 ü ✔'), '日本語 ü ✔');
  assert.equal(
    formatTable([
      ['A', 'B'],
      ['\x1b]0;x\x07', 'y'],
    ]),
    `A              B\n\\x1b]0;x\\x07   y\n`,
  );
});

test('lists come as a table, ids, JSON or by a template', () => {
  const columns = [
    { name: 'ID', heading: 'ID', cell: (r: { id: string }) => r.id },
    { name: 'Name', heading: 'NAME', cell: (r: { id: string }) => `n${r.id}` },
  ];
  const rows = [{ id: '1' }, { id: '2' }];
  const base = { columns: ['ID', 'Name'], quietColumn: 'ID' };
  assert.equal(formatList(rows, columns, base), 'ID        NAME\n1         n1\n2         n2\n');
  assert.equal(formatList(rows, columns, { ...base, quiet: true }), '1\n2\n');
  assert.equal(
    formatList(rows, columns, { ...base, format: 'json' }),
    '{"ID":"1","Name":"n1"}\n{"ID":"2","Name":"n2"}\n',
  );
  assert.equal(formatList(rows, columns, { ...base, format: '{{.Name}}' }), 'n1\nn2\n');
  assert.equal(
    formatList(rows, columns, { ...base, format: 'table {{.Name}}\\t{{.ID}}' }),
    'NAME      ID\nn1        1\nn2        2\n',
  );
});

test('an error shows cause and fix, hides secrets, and is one JSON line when asked', () => {
  const error = new CodedError('not_found', 'no x for Basic dXNlcjpwYXNz', {
    help: { id: 'a/b', cause: 'c\x1b[1m', fix: ['do it'] },
  });
  assert.equal(
    formatError(error, { color: false }),
    'error[a/b]: no x for Basic [redacted]\n  cause: c\\x1b[1m\n  fix:   do it\n',
  );
  assert.deepEqual(JSON.parse(formatError(error, { color: false, format: 'json' })), {
    code: 'a/b',
    message: 'no x for Basic [redacted]',
    cause: 'c\u001b[1m',
    fix: ['do it'],
  });
  const plain = new CodedError('not_found', 'No such image: x', { data: { fromEngine: true, status: 404 } });
  assert.equal(formatError(plain, { color: false }), 'Error response from daemon: No such image: x\n');
});

test('progress is plain lines for a log and one screen of layers with a total on a terminal', () => {
  const messages = [
    { id: 'v1', status: 'Pulling from team/app' },
    { id: 'aaa', status: 'Pulling fs layer' },
    { id: 'aaa', status: 'Downloading', progressDetail: { current: 500, total: 1000 } },
    { id: 'aaa', status: 'Downloading', progressDetail: { current: 1000, total: 1000 } },
    { id: 'aaa', status: 'Pull complete' },
    { status: 'Digest: sha256:x' },
  ];
  let text = '';
  const write = (more: string): void => {
    text += more;
  };
  const screen = { isTTY: false, columns: 80, rows: 24, write };

  const plain = createProgressView(screen);
  for (const message of messages) plain.show(message);
  assert.equal(
    text,
    'v1: Pulling from team/app\naaa: Pulling fs layer\naaa: Pull complete\nDigest: sha256:x\n',
  );

  text = '';
  let clock = 0;
  const view = createProgressView({ ...screen, isTTY: true }, () => {
    clock += 100;
    return clock;
  });
  for (const message of messages) view.show(message);
  view.end();
  assert.match(text, /aaa: Downloading \[=+> +\] 500B\/1kB/);
  assert.match(text, /Total \[=+> +\] 500B\/1kB {2}\S+\/s, .* left/);
  assert.ok(text.trimEnd().endsWith('Digest: sha256:x'));
});
