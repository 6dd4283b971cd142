import type { Escape } from '#dockerfile/expand/types.ts';

/** Lines of a file, 1-based, inclusive. */
export interface LineRange {
  readonly start: number;
  readonly end: number;
}

/** An inline document: `<<NAME`, `<<-NAME` (`chomp`), `3<<NAME`; a quoted name means no expansion. */
export interface Heredoc {
  readonly name: string;
  readonly fileDescriptor: number;
  readonly expand: boolean;
  readonly chomp: boolean;
  /** As written; tabs are still there when `chomp` is set. */
  readonly content: string;
}

/** `KEY=value`, or the old form `KEY value`. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** `false` for the old form. */
  readonly hasEquals: boolean;
}

/** One instruction as text: its words, not yet their meaning. */
export interface Statement {
  /** First word as written. */
  readonly keyword: string;
  readonly flags: readonly string[];
  readonly args: readonly string[];
  /** Arguments were a JSON array. */
  readonly json: boolean;
  /** ENV and LABEL. */
  readonly pairs?: readonly KeyValue[];
  /** ONBUILD: the trigger. */
  readonly trigger?: Statement;
  readonly heredocs: readonly Heredoc[];
  /** The instruction on one line: continuation lines joined, comments inside removed. */
  readonly text: string;
  readonly range: LineRange;
  /** Comment lines right before it, without `#`. */
  readonly comments: readonly string[];
}

/** Something doubtful, found while reading. */
export interface TextWarning {
  readonly message: string;
  readonly detail: string;
  readonly url: string;
  readonly range: LineRange;
}

/** `# name=value` at the top. */
export interface Directive {
  readonly name: string;
  readonly value: string;
  readonly line: number;
}

/** A file, split into statements. */
export interface ParsedText {
  readonly statements: readonly Statement[];
  readonly escape: Escape;
  readonly directives: readonly Directive[];
  readonly warnings: readonly TextWarning[];
  /** Physical lines, for excerpts. */
  readonly lines: readonly string[];
}
