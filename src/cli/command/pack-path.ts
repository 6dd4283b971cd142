import { lstatSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { packContext } from './context-walk.ts';

/** One local path as a tar whose top entry is called `name` (`.`: the content of a directory). */
export async function* packPath(
  path: string,
  name: string,
  options: { readonly followLink: boolean; readonly keepOwners: boolean },
): AsyncGenerator<Uint8Array> {
  const real = options.followLink ? realpathSync(path) : path;
  const { keepOwners } = options;
  if (name === '.' && lstatSync(real).isDirectory()) {
    yield* packContext({ rootDir: real, ignore: [], extra: [], keepOwners });
    return;
  }
  yield* packContext({
    rootDir: dirname(real),
    ignore: [],
    extra: [],
    keepOwners,
    only: { name: basename(real), as: name },
  });
}
