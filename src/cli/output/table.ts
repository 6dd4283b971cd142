import { escapeLine } from './escape.ts';

const GAP = 3;
const MIN_WIDTH = 10;

/**
 * Rows in columns as Docker prints them: the widest cell plus three spaces, at least `minWidth`, the last column as it is.
 * Cells are made safe for a terminal.
 */
export function formatTable(rows: readonly (readonly string[])[], minWidth: number = MIN_WIDTH): string {
  const cells = rows.map((row) => row.map(escapeLine));
  const widths: number[] = [];
  for (const row of cells) {
    for (const [i, cell] of row.slice(0, -1).entries())
      widths[i] = Math.max(widths[i] ?? minWidth, displayWidth(cell) + GAP);
  }
  return cells
    .map((row) =>
      row
        .map((cell, i) =>
          i === row.length - 1 ? cell : cell + ' '.repeat(Math.max(0, (widths[i] ?? 0) - displayWidth(cell))),
        )
        .join(''),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Columns a text takes on a terminal: wide East Asian characters take two. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const isWide =
      (code >= 0x1100 && code <= 0x115f) ||
      (code >= 0x2e80 && code <= 0xa4cf) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xfe30 && code <= 0xfe6f) ||
      (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0xffe0 && code <= 0xffe6) ||
      (code >= 0x1f300 && code <= 0x1faff) ||
      (code >= 0x20000 && code <= 0x3fffd);
    width += isWide ? 2 : 1;
  }
  return width;
}

/** The first `limit` characters, the last of them an ellipsis when something was cut. */
export function ellipsis(text: string, limit: number): string {
  const characters = [...text];
  return characters.length <= limit ? text : `${characters.slice(0, limit - 1).join('')}…`;
}
