/** Names in a layer: where an entry lies, and what a whiteout removes. Spec: image-spec v1.1, layer.md. */
import { CodedError } from '#base/errors/index.ts';
import type { TarEntryType } from '#base/tar/index.ts';

const SHOWN_NAME_LENGTH = 255;

/** The letter of each kind of entry in the lists that are kept of layers. */
export const ENTRY_LETTERS = {
  file: 'f',
  directory: 'd',
  symlink: 'l',
  hardlink: 'h',
  char: 'c',
  block: 'b',
  fifo: 'p',
} as const satisfies Readonly<Record<TarEntryType, string>>;

/** The error of a layer that must not be put on a disk; a very long path is cut in it. */
export function hostileLayer(path: string, state: string): CodedError {
  const shown = path.length > SHOWN_NAME_LENGTH ? `${path.slice(0, SHOWN_NAME_LENGTH)}…` : path;
  return new CodedError('invalid_argument', `cannot unpack ${JSON.stringify(shown)}: ${state}`);
}

/**
 * The names of an entry's path from the root down; `[]` is the root itself. A leading slash means the root of the layer.
 * @throws `invalid_argument` for `..`, NUL, and the empty path.
 */
export function splitEntryPath(path: string): string[] {
  if (path === '' || path.includes('\0')) throw hostileLayer(path, 'not a usable path');
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') throw hostileLayer(path, 'the path climbs with ".."');
    parts.push(part);
  }
  return parts;
}

/** What a name says about whiteouts. */
export type WhiteoutName =
  | { readonly kind: 'none' }
  /** Bookkeeping of aufs, passed over. */
  | { readonly kind: 'ignored' }
  | { readonly kind: 'opaque' }
  | { readonly kind: 'removes'; readonly name: string };

const PREFIX = '.wh.';
const NONE: WhiteoutName = { kind: 'none' };

/**
 * Reads the whiteout names of a layer strictly.
 * Spec: image-spec v1.1, layer.md, "Whiteouts".
 * @throws `invalid_argument` for a `.wh.` name that removes nothing, `.` or `..`, or that is used as a directory.
 */
export function whiteoutOf(parts: readonly string[], path: string): WhiteoutName {
  if (!path.includes(PREFIX)) return NONE;
  const leaf = parts.at(-1) ?? '';
  if (parts.some((part) => part.startsWith('.wh..wh.') && part !== '.wh..wh..opq'))
    return { kind: 'ignored' };
  if (parts.slice(0, -1).some((part) => part.startsWith(PREFIX)))
    throw hostileLayer(path, 'a whiteout is no directory');
  if (!leaf.startsWith(PREFIX)) return NONE;
  if (leaf === '.wh..wh..opq') return { kind: 'opaque' };
  const name = leaf.slice(PREFIX.length);
  if (name === '' || name === '.' || name === '..') throw hostileLayer(path, 'the whiteout names nothing');
  return { kind: 'removes', name };
}
