#!/usr/bin/env bash
# npm run quickstart: sets the machine up, starts engine and hub, walks the tutorial on real images.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
ensure_machine "${BASE_PACKAGES[@]}"
cd "$here"
"$node" scripts/build-web.ts --if-changed
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || die "the engine needs root; run: su -c 'npm run quickstart'"
  exec sudo env "SLIPWAY_ROOT=${SLIPWAY_ROOT:-}" "PATH=$PATH" "$node" --disable-warning=ExperimentalWarning scripts/quickstart.ts "$@"
fi
exec "$node" --disable-warning=ExperimentalWarning scripts/quickstart.ts "$@"
