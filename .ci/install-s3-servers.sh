#!/usr/bin/env bash
# Installs the real S3 servers the store tests run against, into one directory, without root:
#   versitygw   checks signatures, honours If-None-Match, enforces object lock (Go module, pinned)
#   rclone      an independent second implementation (Debian sid package, unpacked)
# Usage: install-s3-servers.sh <directory>   prints the two exports the tests look for.
# Needs: Go >= 1.24 for versitygw; apt-get and dpkg for rclone. Whatever is there already is kept.
set -euo pipefail

versitygw_version=v1.8.0
rclone_wanted=1.75 # sid moves on; anything from here on is accepted, and what was unpacked is printed

target=${1:?usage: install-s3-servers.sh <directory>}
mkdir -p "$target/bin"
target=$(cd "$target" && pwd)

install_versitygw() {
  [ -x "$target/bin/versitygw" ] && return 0
  CGO_ENABLED=0 GOBIN="$target/bin" go install "github.com/versity/versitygw/cmd/versitygw@$versitygw_version"
}

# apt gets lists, cache and status of its own, so that the machine's release is not touched.
install_rclone() {
  [ -x "$target/bin/rclone" ] && return 0
  local apt="$target/apt-sid"
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
  echo 'deb http://deb.debian.org/debian sid main' > "$apt/sid.list"
  : > "$apt/status"
  cat > "$apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$apt/sid.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
CONF
  apt-get -qq -c "$apt/apt.conf" update
  (cd "$apt" && apt-get -qq -c "$apt/apt.conf" download rclone && dpkg -x rclone_*.deb unpacked)
  cp "$apt/unpacked/usr/bin/rclone" "$target/bin/rclone"
  rm -rf "$apt"
}

# A newer minor is fine, an older one is not: `serve s3` was reworked in 1.7x.
check_rclone() {
  local found
  found=$("$target/bin/rclone" version | sed -n '1s/^rclone v\([0-9]*\.[0-9]*\).*/\1/p')
  if [ "$(printf '%s\n%s\n' "$rclone_wanted" "$found" | sort -V | head -n 1)" != "$rclone_wanted" ]; then
    echo "rclone $found is older than $rclone_wanted" >&2
    return 1
  fi
}

install_versitygw >&2
install_rclone >&2
check_rclone
echo "export HOLDFAST_VERSITYGW=$target/bin/versitygw"
echo "export HOLDFAST_RCLONE=$target/bin/rclone"
