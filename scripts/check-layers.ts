/** Fails on an import against the order of the areas, past a module's door, or into a cycle of areas. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const AREAS = [
  'base',
  'oci',
  'dockerfile',
  'store',
  'registry',
  'runtime',
  'container',
  'build',
  'engine',
  'hub',
  'cli',
  'main',
];

/** Bars beyond the order: `from` must not import `to`. `except` lists folders of pure wire types. */
const BARS: readonly { readonly from: string; readonly to: string; readonly except?: string }[] = [
  { from: 'cli/', to: 'store/' },
  { from: 'cli/', to: 'build/' },
  { from: 'cli/', to: 'runtime/' },
  { from: 'cli/', to: 'container/' },
  { from: 'hub/', to: 'build/' },
  { from: 'hub/', to: 'engine/' },
  { from: 'hub/', to: 'store/' },
  { from: 'registry/server/', to: 'registry/client/' },
  { from: 'registry/server/', to: 'store/' },
  { from: 'store/', to: 'base/http/' },
];
const PURE = ['oci/', 'dockerfile/', 'build/graph/'];

const root = resolve(import.meta.dirname, '..', 'src');
const problems: string[] = [];

for (const file of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
  if (!/\.tsx?$/.test(file) || file.includes('testdata')) continue;
  for (const target of importsOf(join(root, file))) check(file, target);
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);

function importsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

function check(file: string, target: string): void {
  const isTest = /\.(test|contract)\.ts$/.test(file);
  if (PURE.some((pure) => file.startsWith(pure)) && !isTest && /^node:fs/.test(target))
    problems.push(`${file}: pure code imports ${target}`);
  const imported = target.startsWith('#')
    ? target.slice(1)
    : target.startsWith('.')
      ? relative(root, resolve(root, dirname(file), target))
      : undefined;
  if (imported === undefined || imported.startsWith('..')) return;
  const [from = '', to = ''] = [file.split('/')[0], imported.split('/')[0]];
  if (AREAS.indexOf(from) < AREAS.indexOf(to) && !isTest)
    problems.push(`${file}: imports up into ${imported}`);
  if (!isTest) {
    for (const bar of BARS) {
      if (file.startsWith(bar.from) && imported.startsWith(bar.to))
        problems.push(`${file}: ${bar.from} must not use ${imported}`);
    }
  }
  if (target.startsWith('#') && !/\/(index|types|[a-z-]+\.contract)\.tsx?$/.test(target)) {
    problems.push(`${file}: imports past the door of ${imported}`);
  }
}
