/** Changes of the container defaults. Each function returns a new object; the old one stays as it was. */
import type { ContainerConfig } from '#oci/config/index.ts';
import { ENVIRONMENT_LIMIT, sizeOf, tooMuch } from './limits.ts';

/** PATH of an image that has none. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DEFAULT_SHELL: readonly string[] = ['/bin/sh', '-c'];

/** What shell form is prefixed with. */
export function shellOf(config: ContainerConfig): readonly string[] {
  return config.Shell !== undefined && config.Shell.length > 0 ? config.Shell : DEFAULT_SHELL;
}

/** Name of a `NAME=value` line. */
export function nameOf(line: string): string {
  const equals = line.indexOf('=');
  return equals < 0 ? line : line.slice(0, equals);
}

/** Sets one variable, in its old place when it had one. */
export function setVariable(env: readonly string[], key: string, value: string): readonly string[] {
  const line = `${key}=${value}`;
  const at = env.findIndex((old) => nameOf(old) === key);
  const changed = at < 0 ? [...env, line] : env.with(at, line);
  if (sizeOf(changed) > ENVIRONMENT_LIMIT) throw tooMuch('environment', ENVIRONMENT_LIMIT);
  return changed;
}

/** The config a stage starts with: a PATH if there is none, triggers taken off. */
export function startConfig(base: ContainerConfig): ContainerConfig {
  const { OnBuild: _, ...rest } = base;
  const env = rest.Env ?? [];
  const hasPath = env.some((line) => nameOf(line) === 'PATH');
  return { ...rest, Env: hasPath ? env : [...env, `PATH=${DEFAULT_PATH}`] };
}

/** Adds keys to one of the set-like fields (ports, volumes). */
export function addKeys(
  set: Readonly<Record<string, Record<string, never>>> | undefined,
  keys: readonly string[],
): Readonly<Record<string, Record<string, never>>> {
  const old = set ?? {};
  const added = keys.filter((key) => !Object.hasOwn(old, key));
  if (set !== undefined && added.length === 0) return old;
  return sortedByKey([...Object.entries(old), ...added.map((key) => [key, {}] as const)]);
}

/** Adds labels; the last value of a key wins. */
export function addLabels(
  labels: Readonly<Record<string, string>> | undefined,
  pairs: readonly { readonly key: string; readonly value: string }[],
): Readonly<Record<string, string>> {
  return sortedByKey([
    ...Object.entries(labels ?? {}),
    ...pairs.map(({ key, value }) => [key, value] as const),
  ]);
}

/** As Go writes a map, so that the same labels in another order are the same bytes. */
function sortedByKey<T>(entries: readonly (readonly [string, T])[]): Readonly<Record<string, T>> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
