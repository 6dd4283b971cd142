/**
 * Advice about a Dockerfile. Rules here need its text only; those that need variables, the base image or the build context
 * are not here yet (CopyIgnoredFile, InvalidBaseImagePlatform, InvalidDefaultArgInFrom, InvalidDefinitionDescription,
 * UndefinedArgInFrom, UndefinedVar, WorkdirRelativePath). Pure.
 */
import { CodedError } from '#base/errors/index.ts';
import type { ParsedText, Statement } from '#dockerfile/text/types.ts';
import { parseCheckOptions } from './check-options.ts';
import { consistentInstructionCasing } from './rules/consistent-instruction-casing.ts';
import { duplicateStageName } from './rules/duplicate-stage-name.ts';
import { exposeInvalidFormat } from './rules/expose-invalid-format.ts';
import { exposeProtoCasing } from './rules/expose-proto-casing.ts';
import { fromAsCasing } from './rules/from-as-casing.ts';
import { fromPlatformFlagConstDisallowed } from './rules/from-platform-flag-const-disallowed.ts';
import { jsonArgsRecommended } from './rules/json-args-recommended.ts';
import { legacyKeyValueFormat } from './rules/legacy-key-value-format.ts';
import { maintainerDeprecated } from './rules/maintainer-deprecated.ts';
import { multipleInstructionsDisallowed } from './rules/multiple-instructions-disallowed.ts';
import { noEmptyContinuation } from './rules/no-empty-continuation.ts';
import { redundantTargetPlatform } from './rules/redundant-target-platform.ts';
import { reservedStageName } from './rules/reserved-stage-name.ts';
import { secretsUsedInArgOrEnv } from './rules/secrets-used-in-arg-or-env.ts';
import { stageNameCasing } from './rules/stage-name-casing.ts';
import type { LintInput, LintRule, LintStage, LintWarning } from './types.ts';

export { parseCheckOptions } from './check-options.ts';

/** The rules, in the order in which a failure names them. */
export const RULES: readonly LintRule[] = [
  noEmptyContinuation,
  stageNameCasing,
  fromAsCasing,
  reservedStageName,
  duplicateStageName,
  maintainerDeprecated,
  legacyKeyValueFormat,
  consistentInstructionCasing,
  fromPlatformFlagConstDisallowed,
  redundantTargetPlatform,
  jsonArgsRecommended,
  multipleInstructionsDisallowed,
  secretsUsedInArgOrEnv,
  exposeProtoCasing,
  exposeInvalidFormat,
];

/**
 * Applies all rules. `# check=` in the file is honoured, `options.check` (`BUILDKIT_DOCKERFILE_CHECK`) wins over it, and a
 * comment `# check=skip=Rule` before an instruction holds for that instruction.
 */
export function lintText(
  text: ParsedText,
  options: { readonly check?: string } = {},
): readonly LintWarning[] {
  const check = checkOf(text, options.check);
  if (check.skipAll) return [];
  const input = inputOf(text);
  const warnings: LintWarning[] = [];
  for (const rule of RULES) {
    if (check.skip.has(rule.name.toLowerCase())) continue;
    rule.check(input, (place, message) => {
      if (typeof place !== 'number' && isSkippedAt(place, rule)) return;
      const line = typeof place === 'number' ? place : place.range.start;
      const url = `https://docs.docker.com/go/dockerfile/rule/${rule.page}/`;
      warnings.push({ rule: rule.name, description: rule.description, url, message, line });
    });
  }
  return warnings;
}

/**
 * Ends a build whose file says `error=true` and has findings.
 * @throws {CodedError} `invalid_argument`: `lint violation found for rules: …`.
 */
export function failOnWarnings(
  text: ParsedText,
  warnings: readonly LintWarning[],
  options: { readonly check?: string } = {},
): void {
  if (!checkOf(text, options.check).error || warnings.length === 0) return;
  const rules = [...new Set(warnings.map((warning) => warning.rule))];
  throw new CodedError('invalid_argument', `lint violation found for rules: ${rules.join(', ')}`);
}

function checkOf(text: ParsedText, override: string | undefined): ReturnType<typeof parseCheckOptions> {
  const directive = text.directives.find((candidate) => candidate.name === 'check');
  return parseCheckOptions(override ?? directive?.value ?? '');
}

function isSkippedAt(statement: Statement, rule: LintRule): boolean {
  return statement.comments.some((comment) => {
    const match = /^check\s*=\s*(.*)$/i.exec(comment);
    if (match === null) return false;
    const check = parseCheckOptions(match[1] ?? '');
    return check.skipAll || check.skip.has(rule.name.toLowerCase());
  });
}

function inputOf(text: ParsedText): LintInput {
  const globals: Statement[] = [];
  const stages: { name: string | undefined; from: Statement; statements: Statement[] }[] = [];
  for (const statement of text.statements) {
    const stage = stages[stages.length - 1];
    if (statement.keyword.toUpperCase() === 'FROM') {
      const name = statement.args.length === 3 ? statement.args[2] : undefined;
      stages.push({ name, from: statement, statements: [] });
    } else if (stage === undefined) globals.push(statement);
    else stage.statements.push(statement);
  }
  const frozen: readonly LintStage[] = stages;
  return { text, globals, stages: frozen };
}
