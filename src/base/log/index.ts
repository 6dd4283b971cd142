/** Structured log lines on one stream: `time level message key=value …`. Control characters are escaped, secrets redacted. */
import { messageOf, redact } from '#base/errors/index.ts';

/** Severity, least first. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Facts beside the message; `error` is printed with its cause chain at debug level. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where a module writes what an operator may need. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds `fields` to each line. */
  with(fields: LogFields): Log;
}

const ORDER: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Whether `text` names a level. */
export function isLogLevel(text: string): text is LogLevel {
  return (ORDER as readonly string[]).includes(text);
}

/** Options of `createLog`. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly write: (line: string) => void;
  readonly now?: () => Date;
}

/** Makes a log that writes whole lines. */
export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  const from = ORDER.indexOf(options.level);
  const at = (level: LogLevel) => (message: string, fields?: LogFields) => {
    if (ORDER.indexOf(level) < from) return;
    const time = (options.now?.() ?? new Date()).toISOString();
    options.write(`${time} ${level} ${formatLine(message, { ...bound, ...fields })}\n`);
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => createLog(options, { ...bound, ...fields }),
  };
}

/** A log that keeps nothing. */
export function silentLog(): Log {
  return createLog({ level: 'error', write: () => {} });
}

function formatLine(message: string, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${formatValue(value)}`);
  return escapeControls(redact([message, ...pairs].join(' ')));
}

function formatValue(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(errorText(value));
  if (typeof value === 'string') return /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? String(value);
}

function errorText(error: Error): string {
  const known = error.name === 'CodedError' ? '' : `\n${error.stack ?? ''}`;
  return messageOf(error) + known;
}

/** Text from outside must not move the cursor or forge a line of the log. */
function escapeControls(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
