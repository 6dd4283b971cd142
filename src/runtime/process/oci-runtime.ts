import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError, messageOf } from '#base/errors/index.ts';

/** The program that makes containers of bundles. */
export interface OciRuntime {
  readonly path: string;
  readonly name: 'runc' | 'crun';
  readonly version: string;
  readonly cgroups: 'v1' | 'hybrid' | 'v2';
}

/** How the cgroups are mounted below `root`. */
export function detectCgroups(root = '/sys/fs/cgroup'): OciRuntime['cgroups'] {
  if (existsSync(join(root, 'cgroup.controllers'))) return 'v2';
  return existsSync(join(root, 'unified')) ? 'hybrid' : 'v1';
}

/**
 * Finds the runtime: `options.path` if given, else crun where the cgroups are v2 (it is twice as fast, and refuses
 * hybrid ones), else runc.
 * @throws {CodedError} `failed_precondition` when there is none, or it does not answer.
 */
export function createOciRuntime(
  options: { readonly path?: string; readonly searchPath?: string; readonly cgroupRoot?: string } = {},
): OciRuntime {
  const cgroups = detectCgroups(options.cgroupRoot);
  const names = cgroups === 'v2' ? (['crun', 'runc'] as const) : (['runc'] as const);
  const path =
    options.path ??
    names.map((name) => findProgram(name, options.searchPath)).find((found) => found !== undefined);
  if (path === undefined) {
    throw new CodedError(
      'failed_precondition',
      `no container runtime found: neither ${names.join(' nor ')}`,
      {
        help: {
          id: 'runtime-missing',
          cause: 'Containers and RUN steps are started by an OCI runtime, and none is installed.',
          fix: ['apt-get install --yes runc'],
        },
      },
    );
  }
  return { path, cgroups, ...versionOf(path) };
}

function versionOf(path: string): { readonly name: 'runc' | 'crun'; readonly version: string } {
  let text: string;
  try {
    text = execFileSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  } catch (error) {
    throw new CodedError('failed_precondition', `cannot use runtime "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  const match = /^(runc|crun) version (\S+)/m.exec(text);
  if (match === null) {
    throw new CodedError('failed_precondition', `cannot use runtime "${path}": it is neither runc nor crun`);
  }
  return { name: match[1] as 'runc' | 'crun', version: match[2] ?? '' };
}

/** Path of an executable named `name`, from a `PATH`-like list. */
export function findProgram(
  name: string,
  searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
): string | undefined {
  for (const dir of searchPath.split(':')) {
    const path = join(dir, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}
