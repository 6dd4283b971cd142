/** Fails on a relative link in a Markdown file that leads nowhere, and on an export without a docstring. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const problems: string[] = [];

for (const file of filesBelow(root, /\.md$/)) checkLinks(file);
for (const file of filesBelow(join(root, 'src'), /(?<!\.test|\.contract)\.ts$/)) checkDocstrings(file);
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);

function filesBelow(dir: string, pattern: RegExp): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    if (['node_modules', 'dist', 'testdata', '.git'].includes(entry.name)) return [];
    const path = join(dir, entry.name);
    if (entry.isDirectory()) return filesBelow(path, pattern);
    return pattern.test(entry.name) ? [path] : [];
  });
}

function checkLinks(file: string): void {
  const text = readFileSync(file, 'utf8').replace(/```[\s\S]*?```/g, '');
  for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(https?:|mailto:|#)/.test(target)) continue;
    const path = resolve(dirname(file), target.split('#')[0] ?? '');
    if (!existsSync(path))
      problems.push(`${file.slice(root.length + 1)}: link to ${target}, which does not exist`);
  }
}

function checkDocstrings(file: string): void {
  const lines = readFileSync(file, 'utf8').split('\n');
  lines.forEach((line, index) => {
    const match = /^export (?:async )?(?:function\*?|class|const|interface|type) (\w+)/.exec(line);
    if (match === null) return;
    const above = lines[index - 1]?.trim() ?? '';
    if (!above.endsWith('*/'))
      problems.push(`${file.slice(root.length + 1)}:${index + 1}: export "${match[1]}" has no docstring`);
  });
}
