import type { ParsedText, Statement } from '#dockerfile/text/types.ts';

/** One finding. */
export interface LintWarning {
  readonly rule: string;
  readonly description: string;
  readonly url: string;
  readonly message: string;
  readonly line: number;
}

/** A FROM and what follows, as statements. */
export interface LintStage {
  /** Name as written. */
  readonly name: string | undefined;
  readonly from: Statement;
  readonly statements: readonly Statement[];
}

/** What rules look at. */
export interface LintInput {
  readonly text: ParsedText;
  /** ARG before the first FROM. */
  readonly globals: readonly Statement[];
  readonly stages: readonly LintStage[];
}

/** A rule reports findings at a statement (whose comment may switch it off) or at a bare line. */
export interface LintRule {
  readonly name: string;
  readonly description: string;
  /** Last part of the address of its help page. */
  readonly page: string;
  check(input: LintInput, report: (place: Statement | number, message: string) => void): void;
}

/** `check=skip=A,B;error=true`. */
export interface CheckOptions {
  readonly skip: ReadonlySet<string>;
  readonly skipAll: boolean;
  readonly error: boolean;
}
