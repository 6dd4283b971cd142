/**
 * Builds the publishable package in dist/package:
 *
 *     bin/slipway            finds Node 26 among the dependencies
 *     lib/cli.cjs            turns the cache of compiled code on for what it loads:
 *     lib/client.cjs         the client in one CommonJS file, the quickest to start
 *     lib/daemon.js …        services, child programs and workers as ES modules with shared chunks
 *     lib/web/               the hub's page
 */
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { NODE_FLAGS } from '#base/node/index.ts';

const root = resolve(import.meta.dirname, '..');
const out = join(root, 'dist/package');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown> & {
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
};
/** Native modules, and what must stay a package of its own. */
const EXTERNAL = ['koffi'];
const SERVICES = ['daemon', 'hub'];
/** A child program or worker that code names by `new URL('./x.ts', import.meta.url)`. */
const NEIGHBOUR = /new URL\(\s*'(\.[^']+\.ts)',\s*import\.meta\.url\s*\)/g;

async function buildServices(): Promise<void> {
  const entries: Record<string, string> = Object.fromEntries(
    SERVICES.map((name) => [name, join(root, 'src/main', `${name}.ts`)]),
  );
  for (const path of listSources(join(root, 'src'))) {
    for (const [, target = ''] of readFileSync(path, 'utf8').matchAll(NEIGHBOUR)) {
      const neighbour = resolve(dirname(path), target);
      entries[neighbourName(neighbour)] = neighbour;
    }
  }
  await build({
    entryPoints: entries,
    outdir: join(out, 'lib'),
    bundle: true,
    splitting: true,
    minifySyntax: true,
    minifyWhitespace: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    external: EXTERNAL,
    chunkNames: 'chunk-[hash]',
    // Bundled CommonJS packages ask for `require`.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    plugins: [neighbours],
    legalComments: 'none',
    logLevel: 'warning',
  });
}

async function buildClient(): Promise<void> {
  const common = {
    outdir: join(out, 'lib'),
    outExtension: { '.js': '.cjs' },
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node24',
    external: EXTERNAL,
    legalComments: 'none',
    logLevel: 'warning',
  } as const;
  // The first file is never in the cache, so it is a small one.
  await build({
    ...common,
    entryPoints: { cli: join(root, 'src/main/compiled-code.ts') },
    footer: { js: "require('./client.cjs');" },
  });
  await build({
    ...common,
    entryPoints: { client: join(root, 'src/main/slipway.ts') },
    define: {
      'import.meta.dirname': '__dirname',
      'import.meta.filename': '__filename',
      'import.meta.url': '__url',
    },
    banner: { js: "const __url = require('node:url').pathToFileURL(__filename).href;" },
    minifySyntax: true,
    minifyWhitespace: true,
    plugins: [services],
  });
}

/** All outputs lie side by side, so a neighbour is found by its flat name. */
const neighbours: Plugin = {
  name: 'neighbours',
  setup(build) {
    build.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const contents = text.replace(
        NEIGHBOUR,
        (_, target: string) =>
          `new URL('./${neighbourName(resolve(dirname(path), target))}.js', import.meta.url)`,
      );
      return { contents, loader: 'ts' };
    });
  },
};

/** The client does not carry the services: they are loaded from their own files when asked for. */
const services: Plugin = {
  name: 'services',
  setup(build) {
    build.onResolve({ filter: /^\.\/(daemon|hub|keeper)\.ts$/ }, ({ path }) => ({
      path: path === './keeper.ts' ? './main-keeper.js' : path.replace(/\.ts$/, '.js'),
      external: true,
    }));
  },
};

function neighbourName(path: string): string {
  return relative(join(root, 'src'), path).replace(/\.ts$/, '').replaceAll('/', '-');
}

function listSources(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /(?<!\.test)\.ts$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

function writePackage(): void {
  const { name, version, description, license, os } = manifest;
  const dependencies = Object.fromEntries(
    EXTERNAL.map((dependency) => [dependency, manifest.dependencies[dependency]]),
  );
  const published = {
    name,
    version,
    description,
    license,
    os,
    type: 'module',
    bin: { slipway: 'bin/slipway' },
    files: ['bin', 'lib', 'README.md', 'LICENSE'],
    dependencies: { ...dependencies, node: manifest.devDependencies['node'] },
  };
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  for (const file of ['README.md', 'LICENSE']) cpSync(join(root, file), join(out, file));
  mkdirSync(join(out, 'bin'));
  writeFileSync(join(out, 'bin/slipway'), LAUNCHER);
  chmodSync(join(out, 'bin/slipway'), 0o755);
}

/** npm puts `node` below the package or beside it; a checkout has it further up. */
const LAUNCHER = `#!/bin/sh
# Starts Slipway with the Node that was installed with it.
self=$0
[ -L "$self" ] && self=$(readlink -f "$self")
lib=\${self%/bin/slipway}/lib
for node in "$lib/../node_modules/node/bin/node" "$lib/../../node/bin/node" "$lib/../../../node_modules/node/bin/node"; do
  [ -x "$node" ] && exec "$node" ${NODE_FLAGS.join(' ')} -- "$lib/cli.cjs" "$@"
done
echo "slipway: Node 26 is missing beside $lib; reinstall the package, with install scripts allowed" >&2
exit 127
`;

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, 'lib'), { recursive: true });
await import('./build-web.ts');
cpSync(join(root, 'web/dist'), join(out, 'lib/web'), { recursive: true });
await buildServices();
await buildClient();
writePackage();
console.log(`built ${relative(root, out)}`);
