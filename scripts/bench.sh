#!/usr/bin/env bash
# npm run bench -- [--json FILE] [--only CASES]: builds the package, sets the peers up, measures.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
ensure_machine "${BASE_PACKAGES[@]}" docker.io=docker docker-registry=docker-registry podman=podman buildah=buildah iproute2=ip util-linux=unshare
cd "$here"
[ "$(id -u)" -eq 0 ] || die "the benchmark starts two engines and needs root: sudo npm run bench"
"$node" scripts/build-package.ts
exec "$node" --disable-warning=ExperimentalWarning bench/run.ts "$@"
