#!/usr/bin/env bash
# npm run build: the publishable package in dist/package (then: npm pack ./dist/package).
set -euo pipefail
source "$(dirname "$0")/setup.sh"
ensure_npm_packages
cd "$here"
exec "$node" scripts/build-package.ts
