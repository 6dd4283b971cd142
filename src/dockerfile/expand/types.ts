/** The character that escapes: `\`, or a backquote after `# escape=`. */
export type Escape = '\\' | '`';

/** How a text is expanded. */
export interface ExpandOptions {
  readonly escape: Escape;
  /** Keep quotes in the result. */
  readonly rawQuotes?: boolean;
  /** Keep escape characters in the result. */
  readonly rawEscapes?: boolean;
  /** Quotes are ordinary characters (heredoc contents). */
  readonly skipProcessQuotes?: boolean;
  /** Leave a variable without a value as it is written. */
  readonly skipUnset?: boolean;
  /** Largest result in characters; 1 MiB by default. */
  readonly limit?: number;
}

/** What a text became. */
export interface Expansion {
  readonly text: string;
  /** `text` split at unquoted white space, after expansion. */
  readonly words: readonly string[];
  /** Names that had a value. */
  readonly matched: ReadonlySet<string>;
  /** Names that had none. */
  readonly unmatched: ReadonlySet<string>;
}
