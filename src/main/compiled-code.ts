/**
 * Keeps compiled code in a folder that is ours alone, for every module loaded after this one. Node's default is a shared
 * folder under /tmp, where another user could leave code for us to run.
 */
import { mkdirSync, statSync } from 'node:fs';
import { enableCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';

keepCompiledCode();

function keepCompiledCode(): void {
  const home = process.env['HOME'];
  const base = process.env['XDG_CACHE_HOME'] || (home ? join(home, '.cache') : undefined);
  if (base === undefined || getCompileCacheDir() !== undefined) return;
  const folder = join(base, 'slipway');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(folder);
    if (uid === process.geteuid?.() && (mode & 0o022) === 0) enableCompileCache(folder);
  } catch {
    // No place for a cache: the program works without it.
  }
}
