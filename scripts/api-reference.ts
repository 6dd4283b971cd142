/** Writes docs/reference/api.md from the routes themselves; with `--check` it only tells whether the page is current. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { API_VERSION, MIN_API_VERSION } from '#engine/protocol/index.ts';
import { type Backends, groupRoutes } from '../src/main/engine/routes.ts';

const PAGE = resolve(import.meta.dirname, '../docs/reference/api.md');

/** Making routes touches no backend; using one here would be a bug. */
const untouched = new Proxy(
  {},
  {
    get: (_, name) => {
      throw new Error(`a route uses its backend (${String(name)}) while it is made`);
    },
  },
) as never;

const backends = new Proxy({}, { get: () => untouched }) as Backends;
const text = render();
if (process.argv.includes('--check')) {
  if (readPage() !== text) {
    console.error('docs/reference/api.md is not current: run node scripts/api-reference.ts');
    process.exit(1);
  }
} else {
  mkdirSync(dirname(PAGE), { recursive: true });
  writeFileSync(PAGE, text);
}

function render(): string {
  const groups = Object.entries(groupRoutes(backends)).map(([name, routes]) => {
    const rows = routes.map(
      ({ method, path, since, summary, hijacks }) =>
        `| \`${method} ${path.replace(/:([A-Za-z]+)\+?/g, '{$1}')}\` | ${summary}${hijacks ? ' (raw connection)' : ''} | ${since ?? ''} |`,
    );
    return `## ${name}\n\n| operation | what it does | since |\n|---|---|---|\n${rows.join('\n')}\n`;
  });
  return `# Engine API

The Docker Engine API, versions ${MIN_API_VERSION} to ${API_VERSION}. A path may begin with a version (\`/v${API_VERSION}/images/json\`); without one
the newest is meant. Made by \`scripts/api-reference.ts\` from the routes.

Errors are \`{"message"}\` with Docker's texts; beside it stand \`code\` (what a caller may do), and where we know more
\`help\` (\`id\`, \`cause\`, \`fix\`) and \`data\`. In a stream that has begun the last line is \`{"errorDetail":{"message"},"error"}\`
with the same fields.

${groups.join('\n')}`;
}

function readPage(): string {
  try {
    return readFileSync(PAGE, 'utf8');
  } catch {
    return '';
  }
}
