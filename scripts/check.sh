#!/usr/bin/env bash
# npm run check: types, lint and format, import layers, docs.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
ensure_npm_packages
cd "$here"
"$node" node_modules/typescript/bin/tsc -p .
[ -f web/tsconfig.json ] && "$node" node_modules/typescript/bin/tsc -p web
"$node" node_modules/@biomejs/biome/bin/biome check .
"$node" scripts/check-layers.ts
"$node" scripts/check-docs.ts
echo "check: types, lint, format, layers and docs are fine"
