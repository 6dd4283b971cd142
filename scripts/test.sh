#!/usr/bin/env bash
# npm test [-- unit|e2e|long|FILES…]: sets the machine up, then runs the tests with Node's own runner.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
ensure_machine "${BASE_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
cd "$here"

files=()
case "${1:-all}" in
  all) files=('src/**/*.test.ts' 'test/e2e/**/*.test.ts' 'test/conformance/**/*.test.ts' 'scripts/**/*.test.ts') ;;
  unit) files=('src/**/*.test.ts' 'scripts/**/*.test.ts') ;;
  e2e) files=('test/e2e/**/*.test.ts' 'test/conformance/**/*.test.ts') ;;
  long) files=('test/long/**/*.test.ts') ;;
  *) files=("$@") ;;
esac

# The page is served from web/dist; tests that open it need it built.
[ -d web ] && [ -f web/vite.config.ts ] && "$node" scripts/build-web.ts --if-changed

timeout_ms=300000
[ "${1:-all}" = long ] && timeout_ms=3600000
exec "$node" --disable-warning=ExperimentalWarning --test --test-reporter=spec --test-concurrency=2 --test-timeout=$timeout_ms "${files[@]}"
