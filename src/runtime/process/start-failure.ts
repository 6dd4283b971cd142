import { readFileSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';

/** Last error a runtime wrote to its JSON log, without its `runc run failed: ` prefix; `undefined` when it wrote none. */
export function readRuntimeError(logPath: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(logPath, 'utf8');
  } catch {
    return undefined;
  }
  for (const line of text.trimEnd().split('\n').toReversed()) {
    try {
      const entry = JSON.parse(line) as { readonly level?: unknown; readonly msg?: unknown };
      if ((entry.level === 'error' || entry.level === 'fatal') && typeof entry.msg === 'string') {
        return stripPrefix(entry.msg);
      }
    } catch {
      // Not a log line.
    }
  }
  return undefined;
}

function stripPrefix(message: string): string {
  return message
    .replace(/^(?:runc (?:run|create|exec|start) failed: |container_linux\.go:\d+: )+/, '')
    .replace(/^exec failed: /, '')
    .trim();
}

/** As containerd ends it; of a directory it says twice what is wrong. */
function ending(message: string): string {
  return message.endsWith(': is a directory') ? ': unknown: permission denied' : ': unknown';
}

/**
 * What the runtime said, with the cause it hides: old ones call a directory that should be run "permission denied".
 * `isDirectory` is asked about a path in the container.
 */
export function clarifyStart(message: string, isDirectory: (path: string) => boolean): string {
  const path = /\bexec: "(\/[^"]*)": permission denied$/.exec(message)?.[1];
  if (path === undefined || !isDirectory(path)) return message;
  return message.replace(/permission denied$/, 'is a directory');
}

/**
 * The error of a container that could not be started, with Docker's text, from which clients take exit code 127 or 126.
 * `message` is what the runtime said.
 */
export function startFailure(message: string): CodedError {
  return new CodedError(
    'invalid_argument',
    `failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: ${message}${ending(message)}`,
  );
}

/** The error of a process that could not be started in a running container, with Docker's text. */
export function execFailure(message: string): CodedError {
  return new CodedError(
    'invalid_argument',
    `OCI runtime exec failed: exec failed: ${message}${ending(message)}`,
  );
}
