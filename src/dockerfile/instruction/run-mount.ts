/**
 * `RUN --mount=type=…,key=value,…`: one line of comma-separated values.
 *
 *   bind    from source target rw        cache  id target ro sharing from source mode uid gid
 *   tmpfs   target size                  secret id target env required mode uid gid
 *   ssh     id target required mode uid gid
 */
import { withSuggestion } from '#base/similar/index.ts';
import { invalid, quote } from './source.ts';
import type { Mount } from './types.ts';

const TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const;
const SHARINGS = ['shared', 'private', 'locked'] as const;
const KEYS = [
  'type',
  'from',
  'source',
  'target',
  'readonly',
  'id',
  'sharing',
  'required',
  'size',
  'mode',
  'uid',
  'gid',
  'src',
  'dst',
  'destination',
  'ro',
  'rw',
  'readwrite',
  'env',
];

type Draft = { -readonly [K in keyof Mount]: Mount[K] } & { autoReadonly: boolean };

/** What can be said before variables are known: `from` must not hold one. */
export function checkMount(text: string): void {
  for (const field of splitFields(text)) {
    const equals = field.indexOf('=');
    if (equals < 0 || field.slice(0, equals).toLowerCase() !== 'from') continue;
    if (/\$./.test(field.slice(equals + 1))) {
      throw invalid(`'from' doesn't support variable expansion, define alias stage instead`);
    }
  }
}

/** The stage or image a mount comes from, before variables are known; empty for none. */
export function mountFrom(text: string): string {
  let from = '';
  for (const field of splitFields(text)) {
    const equals = field.indexOf('=');
    if (equals >= 0 && field.slice(0, equals).toLowerCase() === 'from') from = field.slice(equals + 1);
  }
  return from;
}

/**
 * Reads a mount; `expand` replaces variables in its values.
 * @throws {CodedError} `invalid_argument` with the key and value at fault.
 */
export function parseMount(text: string, expand: (value: string) => string): Mount {
  const draft: Draft = {
    type: 'bind',
    from: '',
    source: '',
    target: '',
    readonly: true,
    sizeLimit: 0,
    id: '',
    sharing: '',
    required: false,
    env: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
    autoReadonly: true,
  };
  for (const field of splitFields(text)) {
    const equals = field.indexOf('=');
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    if (equals < 0) applyWord(draft, key, field);
    else applyValue(draft, key, expand(field.slice(equals + 1)), field);
  }
  validate(draft);
  const { autoReadonly, ...mount } = draft;
  const isWritable = mount.type === 'cache' || mount.type === 'tmpfs';
  return autoReadonly ? { ...mount, readonly: !isWritable } : mount;
}

function applyWord(draft: Draft, key: string, field: string): void {
  if (key === 'readonly' || key === 'ro' || key === 'readwrite' || key === 'rw') {
    setReadonly(draft, key === 'readonly' || key === 'ro');
  } else if (key === 'required') {
    requireType(draft, key, ['secret', 'ssh']);
    draft.required = true;
  } else if (key === 'env' && draft.type === 'secret') draft.env = '';
  else throw invalid(`invalid field '${field}' must be a key=value pair`);
}

function applyValue(draft: Draft, key: string, value: string, field: string): void {
  const setters: Readonly<Record<string, () => void>> = {
    type: () => {
      draft.type = oneOf(value, TYPES, `unsupported mount type ${quote(value)}`);
    },
    from: () => {
      draft.from = value;
    },
    source: () => {
      draft.source = value;
    },
    target: () => {
      draft.target = value;
    },
    readonly: () => setReadonly(draft, parseBool(key, value)),
    readwrite: () => setReadonly(draft, !parseBool(key, value)),
    required: () => {
      requireType(draft, key, ['secret', 'ssh']);
      draft.required = parseBool(key, value);
    },
    size: () => {
      requireType(draft, key, ['tmpfs']);
      draft.sizeLimit = parseSize(key, value);
    },
    id: () => {
      draft.id = value;
    },
    sharing: () => {
      draft.sharing = oneOf(value, SHARINGS, `unsupported sharing value ${quote(value)}`);
    },
    mode: () => {
      draft.mode = parseNumber(key, value, 8);
    },
    uid: () => {
      draft.uid = parseNumber(key, value, 10);
    },
    gid: () => {
      draft.gid = parseNumber(key, value, 10);
    },
    env: () => {
      requireType(draft, key, ['secret']);
      draft.env = value;
    },
  };
  const name = ALIASES[key] ?? key;
  const set = Object.hasOwn(setters, name) ? setters[name] : undefined;
  if (set === undefined) {
    throw invalid(
      withSuggestion(`unexpected key '${key}' in '${field}'`, key, KEYS, { caseSensitive: true }),
    );
  }
  set();
}

const ALIASES: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
  rw: 'readwrite',
});

function setReadonly(draft: Draft, value: boolean): void {
  draft.readonly = value;
  draft.autoReadonly = false;
}

function requireType(draft: Draft, key: string, types: readonly Mount['type'][]): void {
  if (!types.includes(draft.type)) throw invalid(`unexpected key '${key}' for mount type '${draft.type}'`);
}

function oneOf<T extends string>(value: string, options: readonly T[], message: string): T {
  const found = options.find((option) => option === value.toLowerCase());
  if (found === undefined) throw invalid(withSuggestion(message, value, options, { caseSensitive: true }));
  return found;
}

function parseBool(key: string, value: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(value)) return false;
  throw invalid(`invalid value for ${key}: ${value}`);
}

function parseNumber(key: string, value: string, base: 8 | 10): number {
  const isValid = base === 8 ? /^[0-7]+$/.test(value) : /^\d+$/.test(value);
  const number = Number.parseInt(value, base);
  if (!isValid || number > 0xffffffff) throw invalid(`invalid value ${value} for ${key}`);
  return number;
}

function parseSize(key: string, value: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(value);
  if (match === null) throw invalid(`invalid value for ${key}: ${value}`);
  const exponent = ['', 'k', 'm', 'g', 't', 'p'].indexOf((match[2] ?? '').toLowerCase());
  const bytes = Math.floor(Number(match[1]) * 1024 ** exponent);
  if (!Number.isSafeInteger(bytes)) throw invalid(`invalid value for ${key}: ${value}`);
  return bytes;
}

function validate(draft: Draft): void {
  if (draft.type === 'bind' || draft.type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const) {
      if (draft[key] !== undefined) throw invalid(`${key} not allowed for "${draft.type}" type mounts`);
    }
  }
  if (draft.type === 'secret') {
    if (draft.from !== '') throw invalid('secret mount should not have a from');
    if (draft.sharing !== '') throw invalid('secret mount should not define sharing');
    if (draft.source === '' && draft.target === '' && draft.id === '') {
      throw invalid('invalid secret mount. one of source, target required');
    }
    if (draft.source !== '' && draft.id !== '') throw invalid("both source and id can't be set");
  }
  if (draft.sharing !== '' && draft.type !== 'cache') {
    throw invalid(`invalid cache sharing set for ${draft.type} mount`);
  }
}

/** Cuts at commas; a field in double quotes may hold commas, and `""` for a quote. */
function splitFields(text: string): string[] {
  const fields: string[] = [];
  let position = 0;
  while (position <= text.length) {
    if (text.charAt(position) !== '"') {
      const comma = text.indexOf(',', position);
      const end = comma < 0 ? text.length : comma;
      const field = text.slice(position, end);
      if (field.includes('"')) throw invalid('failed to parse csv mounts: bare " in non-quoted field');
      fields.push(field);
      position = end + 1;
      continue;
    }
    const quoted = /"((?:[^"]|"")*)"(?=,|$)/y;
    quoted.lastIndex = position;
    const match = quoted.exec(text);
    if (match === null) throw invalid('failed to parse csv mounts: extraneous or missing " in quoted-field');
    fields.push((match[1] ?? '').replaceAll('""', '"'));
    position += match[0].length + 1;
  }
  return fields;
}
