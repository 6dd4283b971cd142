import { CodedError, messageOf, redact } from '#base/errors/index.ts';
import { escapeText } from './escape.ts';

/** How an error is shown. */
export interface ErrorStyle {
  readonly color: boolean;
  /** `json`: one line `{code, message, cause, fix, data}`. */
  readonly format?: 'text' | 'json';
}

/**
 * The text of a failure for stderr. With help it has the shape
 *
 *     error[push/no-local-tag]: An image does not exist locally with the tag: cynthia/demo-push
 *       cause: you built it as demo-push:v1
 *       fix:   slipway tag demo-push:v1 cynthia/demo-push:v1
 *
 * and without it Docker's: `Error response from daemon: …` for what the engine said.
 */
export function formatError(error: unknown, style: ErrorStyle): string {
  const coded = error instanceof CodedError ? error : undefined;
  const { help } = coded ?? {};
  if (style.format === 'json') {
    const value = {
      code: help?.id ?? coded?.code ?? 'internal',
      message: redact(messageOf(error)),
      ...(help?.cause ? { cause: help.cause } : {}),
      ...(help?.fix ? { fix: help.fix.map(inOurWords) } : {}),
      ...(coded?.data ? { data: coded.data } : {}),
    };
    return `${JSON.stringify(value)}\n`;
  }
  const paint = (code: string, text: string): string => (style.color ? `\x1b[${code}m${text}\x1b[0m` : text);
  const fromEngine = coded?.data?.['fromEngine'] === true && coded.data['status'] !== undefined;
  const message = escapeText(redact(messageOf(error)));
  const lines: string[] = [];
  if (help === undefined)
    return `${paint('31', fromEngine ? `Error response from daemon: ${message}` : message)}\n`;
  lines.push(`${paint('1;31', `error[${help.id}]:`)} ${message}`);
  if (help.cause) lines.push(`  ${paint('2', 'cause:')} ${escapeText(help.cause)}`);
  for (const fix of help.fix ?? [])
    lines.push(`  ${paint('2', 'fix:')}   ${paint('36', escapeText(inOurWords(fix)))}`);
  return `${lines.join('\n')}\n`;
}

/** The engine writes commands for the docker CLI, since it does not know who reads them; here it is `slipway`. */
function inOurWords(fix: string): string {
  return fix.replace(/(^|&& |\| |sudo )docker (?=[a-z])/g, '$1slipway ');
}
