import { Group } from '@mantine/core';
import classes from './code.module.css';
import { CopyButton } from './copy-line.tsx';

/** A line, and what stands beside it. */
export interface CodeLine {
  readonly text: string;
  readonly note?: string;
}

/** Text with numbered lines, to read and to copy; it scrolls by itself. */
export function CodeView({
  lines,
  label,
  maxHeight,
}: {
  readonly lines: readonly CodeLine[];
  /** What it is, as in "Copy the Dockerfile". */
  readonly label: string;
  readonly maxHeight?: string;
}) {
  const text = lines.map((line) => line.text).join('\n');
  return (
    <div className={classes['frame']}>
      <Group className={classes['copy'] ?? ''}>
        <CopyButton text={text} label={label} />
      </Group>
      <section
        className={classes['scroll']}
        style={maxHeight === undefined ? {} : { maxHeight }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
        tabIndex={0}
        aria-label={label}
      >
        <ol className={classes['lines']}>
          {lines.map((line, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines may be equal, and their order never changes
            <li key={at}>
              <code>{line.text === '' ? '\u200b' : line.text}</code>
              {line.note !== undefined && <span className={classes['note']}>{line.note}</span>}
            </li>
          ))}
        </ol>
      </section>
    </div>
  );
}

/** The lines of a text. */
export function linesOf(text: string): readonly CodeLine[] {
  return text
    .replace(/\r?\n$/, '')
    .split(/\r?\n/)
    .map((line) => ({ text: line }));
}
