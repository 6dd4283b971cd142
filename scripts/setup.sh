#!/usr/bin/env bash
# Sets a machine up for Slipway: npm packages (with Node 26 among them) and OS packages. Sourced by the other scripts.
# Everything is looked at first, so that a second run takes a moment.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
node=$here/node_modules/node/bin/node

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

ensure_node() {
  command -v node >/dev/null && command -v npm >/dev/null || die "Node.js >= 20 and npm are needed: https://nodejs.org or \"apt-get install nodejs npm\""
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 20 ] || die "Node.js >= 20 is needed, this is $(node --version)"
}

# npm packages, when the lock file is newer than what is installed. Their install scripts run Node 26.
ensure_npm_packages() {
  ensure_node
  ensure_os_packages "${NODE_PACKAGES[@]}"
  local stamp=$here/node_modules/.package-lock.json
  if [ -x "$node" ] && [ -f "$stamp" ] && ! [ "$here/package-lock.json" -nt "$stamp" ]; then return; fi
  say "setting up: npm packages"
  # A registry that lacks packages of other platforms leaves a lock file that "npm ci" calls incomplete.
  (cd "$here" && { npm ci --no-audit --no-fund --loglevel=error || npm install --no-save --no-audit --no-fund --loglevel=error; }) \
    || die "npm could not install the packages"
  touch "$stamp"
  [ -x "$node" ] || die "the npm package \"node\" brought no binary for $(uname -m); install Node.js 26 and put it at $node"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# ensure_os_packages PACKAGE=COMMAND-OR-FILE…: installs what is missing, or says exactly what and how.
ensure_os_packages() {
  local missing=() pair
  for pair in "$@"; do
    local package=${pair%%=*} probe=${pair#*=}
    case $probe in
      /*) compgen -G "$probe" >/dev/null || missing+=("$package") ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "$probe" >/dev/null || missing+=("$package") ;;
    esac
  done
  [ ${#missing[@]} -eq 0 ] && return
  local words="${missing[*]}"
  if ! command -v apt-get >/dev/null; then
    die "these Debian packages (or what your system calls them) are missing: $words"
  fi
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    die "missing packages; as root run: apt-get install -y --no-install-recommends $words"
  fi
  say "setting up: apt-get install $words"
  if ! apt-cache show "${missing[@]}" >/dev/null 2>&1; then as_root apt-get update -qq || die "apt-get update failed"; fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
    || { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } \
    || die "could not install: $words"
}

# What Node 26 is linked with.
NODE_PACKAGES=(libatomic1=/usr/lib/*/libatomic.so.1)
# What the engine itself uses.
ENGINE_PACKAGES=(runc=runc nftables=nft libnftables1=/usr/lib/*/libnftables.so.1 isal=igzip procps=ps git=git zstd=zstd xz-utils=xz bzip2=bzip2)
# What a base image is made with.
BASE_PACKAGES=(mmdebstrap=mmdebstrap busybox-static=/bin/busybox debian-archive-keyring=/usr/share/keyrings/debian-archive-keyring.gpg)
# Real clients and peers that the tests talk to.
TEST_PACKAGES=(docker.io=docker skopeo=skopeo buildah=buildah docker-registry=docker-registry chromium=chromium iproute2=ip openssl=openssl strace=strace)

ensure_machine() {
  local groups=("${ENGINE_PACKAGES[@]}" "$@")
  [ "$(uname -s)" = Linux ] || die "the engine needs Linux"
  ensure_npm_packages
  ensure_os_packages "${groups[@]}"
}
