#!/usr/bin/env bash
# make-base.sh debian|busybox OUT.tar: a base image's root file system made from Debian packages, signatures checked.
set -euo pipefail
kind=${1:?which base: debian or busybox} out=${2:?where to write the tar}
suite=${SLIPWAY_BASE_SUITE:-bookworm}

make_debian() {
  local sources options=() line
  # This machine's own mirror where it is Debian's of the same suite, else Debian's address.
  if grep -qs "$suite" /etc/apt/sources.list.d/debian.sources; then
    sources=$(cat /etc/apt/sources.list.d/debian.sources)
  elif [ -s /etc/apt/sources.list ] && grep -qs "debian.* $suite " /etc/apt/sources.list; then
    sources=$(cat /etc/apt/sources.list)
  else
    sources="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
  fi
  # What the mirror needs of apt (a proxy, an old snapshot) is needed inside the image too.
  while read -r line; do [ -n "$line" ] && options+=(--aptopt="${line%;}"); done \
    < <(apt-config dump 2>/dev/null | grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) ' || true)
  # As in every Debian base image: package files and apt's own caches do not stay in a layer.
  export APT_CLEAN='DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
Acquire::Languages "none";'
  local mode=auto
  [ "$(id -u)" -eq 0 ] && mode=root
  printf '%s\n' "$sources" | mmdebstrap --quiet --variant=minbase --mode=$mode "${options[@]}" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --customize-hook='printf "%s\n" "$APT_CLEAN" >"$1/etc/apt/apt.conf.d/docker-clean"; rm -f "$1"/var/cache/apt/*.bin' "$suite" "$out" -
}

make_busybox() {
  local tree
  tree=$(mktemp -d)
  trap 'rm -rf "$tree"' RETURN
  mkdir -p "$tree"/{bin,dev,etc,home,proc,root,sys,tmp,usr/bin,usr/sbin,var}
  chmod 1777 "$tree/tmp"
  cp /bin/busybox "$tree/bin/busybox"
  "$tree/bin/busybox" --list | while read -r applet; do [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"; done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >"$tree/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
  # The same bytes each time: fixed order, owners and times.
  tar -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1700000000 -cf "$out" .
}

case $kind in
  debian) make_debian ;;
  busybox) make_busybox ;;
  *) echo "make-base.sh: unknown base \"$kind\"" >&2; exit 2 ;;
esac
