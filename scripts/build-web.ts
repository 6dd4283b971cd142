/** Builds the hub's page into web/dist. With --if-changed: only when a source is newer than what is there. */
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'vite';

const root = resolve(import.meta.dirname, '..');
const built = statSync(join(root, 'web/dist/index.html'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
const sources = [join(root, 'web/src'), join(root, 'web/public'), join(root, 'src/hub/protocol')];
const newest = Math.max(
  ...[
    ...sources.flatMap(listFiles),
    join(root, 'web/index.html'),
    join(root, 'web/vite.config.ts'),
    join(root, 'package-lock.json'),
  ].map((path) => statSync(path).mtimeMs),
);

if (!process.argv.includes('--if-changed') || newest > built) {
  await build({ root: join(root, 'web'), logLevel: 'warn', configFile: join(root, 'web/vite.config.ts') });
}

function listFiles(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
