import { type Node, type Operand, type Pipeline, parseTemplate, templateError } from './template-parse.ts';

/** A compiled template. */
export type Template = (value: unknown) => string;

interface Scope {
  readonly dot: unknown;
  readonly variables: ReadonlyMap<string, unknown>;
}

type Call = (args: readonly unknown[]) => unknown;

const NO_VALUE = '<no value>';

/**
 * Compiles a `--format` template; `{{json .}}` prints JSON, an unknown field of a document is an error.
 * @throws {CodedError} `invalid_argument`.
 */
export function compileTemplate(text: string): Template {
  const nodes = parseTemplate(text);
  return (value) => run(nodes, { dot: value, variables: new Map([['', value]]) });
}

function run(nodes: readonly Node[], outer: Scope): string {
  let output = '';
  let scope = outer;
  for (const node of nodes) {
    if (node.kind === 'text') output += node.text;
    else if (node.kind === 'print') output += printValue(evaluate(node.pipeline, scope));
    else if (node.kind === 'assign') scope = withVariable(scope, node.name, evaluate(node.pipeline, scope));
    else output += runBlock(node, scope);
  }
  return output;
}

function runBlock(node: Exclude<Node, { kind: 'text' | 'print' | 'assign' }>, scope: Scope): string {
  const value = evaluate(node.pipeline, scope);
  const [first, second] = node.variables;
  if (node.kind === 'range') {
    const entries = entriesOf(value);
    if (entries.length === 0) return run(node.otherwise, scope);
    return entries
      .map(([key, item]) => {
        let inner: Scope = { ...scope, dot: item };
        if (second !== undefined && first !== undefined)
          inner = withVariable(withVariable(inner, first, key), second, item);
        else if (first !== undefined) inner = withVariable(inner, first, item);
        return run(node.body, inner);
      })
      .join('');
  }
  if (!isTrue(value)) return run(node.otherwise, scope);
  const inner = first === undefined ? scope : withVariable(scope, first, value);
  return run(node.body, node.kind === 'with' ? { ...inner, dot: value } : inner);
}

function withVariable(scope: Scope, name: string, value: unknown): Scope {
  return { ...scope, variables: new Map(scope.variables).set(name, value) };
}

/** Maps are walked in the order of their keys, as Go does. */
function entriesOf(value: unknown): [string | number, unknown][] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value.map((item, i) => [i, item]);
  if (typeof value === 'number') return Array.from({ length: Math.min(value, 100_000) }, (_, i) => [i, i]);
  if (typeof value === 'object') return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  throw templateError(`range can't iterate over ${printValue(value)}`);
}

function evaluate(pipeline: Pipeline, scope: Scope): unknown {
  let piped: unknown[] = [];
  let value: unknown;
  for (const command of pipeline) {
    const [head, ...rest] = command;
    if (head === undefined) continue;
    if (head.kind === 'call') {
      const call = FUNCTIONS[head.name];
      if (call === undefined) throw templateError(`function "${head.name}" not defined`);
      value = call([...rest.map((operand) => operandValue(operand, scope)), ...piped]);
    } else {
      if (rest.length > 0 || piped.length > 0) throw templateError("can't give argument to non-function");
      value = operandValue(head, scope);
    }
    piped = [value];
  }
  return value;
}

function operandValue(operand: Operand, scope: Scope): unknown {
  switch (operand.kind) {
    case 'literal':
      return operand.value;
    case 'pipeline':
      return follow(evaluate(operand.pipeline, scope), operand.fields);
    case 'call':
      return evaluate([[operand]], scope);
    case 'path': {
      if (operand.variable === undefined) return follow(scope.dot, operand.fields);
      if (!scope.variables.has(operand.variable))
        throw templateError(`undefined variable "$${operand.variable}"`);
      return follow(scope.variables.get(operand.variable), operand.fields);
    }
  }
}

function follow(start: unknown, fields: readonly string[]): unknown {
  let value = start;
  for (const field of fields) {
    if (value === null || value === undefined) return undefined;
    if (typeof value !== 'object' || !Object.hasOwn(value, field))
      throw templateError(`executing "" at <.${fields.join('.')}>: map has no entry for key "${field}"`);
    value = (value as Record<string, unknown>)[field];
  }
  return value;
}

function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** A value as Go's `%v` prints it. */
export function printValue(value: unknown): string {
  if (value === undefined || value === null) return NO_VALUE;
  if (Array.isArray(value))
    return `[${value.map((item) => (item === null ? '<nil>' : printValue(item))).join(' ')}]`;
  if (typeof value === 'object')
    return `map[${entriesOf(value)
      .map(([key, item]) => `${key}:${item === null ? '<nil>' : printValue(item)}`)
      .join(' ')}]`;
  return String(value);
}

/** JSON as Go writes it: `<`, `>` and `&` are escaped. */
export function goJson(value: unknown, indent?: string): string {
  return (JSON.stringify(value ?? null, null, indent) ?? 'null')
    .replaceAll('<', '\\u003c')
    .replaceAll('>', '\\u003e')
    .replaceAll('&', '\\u0026');
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : printValue(value);
}

function indexInto(container: unknown, keys: readonly unknown[]): unknown {
  let value = container;
  for (const key of keys) {
    if (value === null || value === undefined)
      throw templateError('error calling index: index of untyped nil');
    if (Array.isArray(value)) {
      if (typeof key !== 'number' || key < 0 || key >= value.length)
        throw templateError(`error calling index: index out of range: ${printValue(key)}`);
      value = value[key];
    } else if (typeof value === 'object') {
      value = Object.hasOwn(value, text(key)) ? (value as Record<string, unknown>)[text(key)] : undefined;
    } else throw templateError(`error calling index: can't index item of type ${typeof value}`);
  }
  return value ?? '';
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0;
}

function formatPrintf(args: readonly unknown[]): string {
  const [format, ...values] = args;
  let at = 0;
  return text(format).replace(
    /%(-)?(\d+)?(?:\.(\d+))?([a-zA-Z%])/g,
    (_whole, left, width, precision, verb: string) => {
      if (verb === '%') return '%';
      const value = values[at++];
      let shown =
        verb === 'q' ? JSON.stringify(text(value)) : verb === 'x' ? Number(value).toString(16) : text(value);
      if (verb === 'f') shown = Number(value).toFixed(precision === undefined ? 6 : Number(precision));
      const columns = Math.min(Number(width ?? 0), 1000);
      return left ? shown.padEnd(columns) : shown.padStart(columns);
    },
  );
}

const FUNCTIONS: Readonly<Record<string, Call | undefined>> = Object.assign(
  Object.create(null) as Record<string, Call>,
  {
    json: ([value]) => goJson(value),
    index: ([container, ...keys]) => indexInto(container, keys),
    len: ([value]) =>
      typeof value === 'string' || Array.isArray(value) ? value.length : entriesOf(value).length,
    join: ([list, separator]) => (Array.isArray(list) ? list.map(text).join(text(separator)) : text(list)),
    split: ([value, separator]) => text(value).split(text(separator)),
    lower: ([value]) => text(value).toLowerCase(),
    upper: ([value]) => text(value).toUpperCase(),
    title: ([value]) => text(value).replace(/\b[a-z]/g, (letter) => letter.toUpperCase()),
    truncate: ([value, limit]) => text(value).slice(0, Number(limit)),
    pad: ([value, before, after]) => ' '.repeat(Number(before)) + text(value) + ' '.repeat(Number(after)),
    print: (values) => values.map(text).join(''),
    println: (values) => `${values.map(text).join(' ')}\n`,
    printf: (values) => formatPrintf(values),
    slice: ([value, from, to]) =>
      (Array.isArray(value) ? value : text(value)).slice(
        Number(from ?? 0),
        to === undefined ? undefined : Number(to),
      ),
    not: ([value]) => !isTrue(value),
    and: (values) => values.find((value) => !isTrue(value)) ?? values.at(-1),
    or: (values) => values.find(isTrue) ?? values.at(-1),
    eq: ([first, ...rest]) => rest.some((value) => compare(first, value) === 0),
    ne: ([a, b]) => compare(a, b) !== 0,
    lt: ([a, b]) => compare(a, b) < 0,
    le: ([a, b]) => compare(a, b) <= 0,
    gt: ([a, b]) => compare(a, b) > 0,
    ge: ([a, b]) => compare(a, b) >= 0,
  } satisfies Record<string, Call>,
);
