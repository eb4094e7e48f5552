#!/usr/bin/env bash
# Installs the real S3 servers the store tests run against, into one directory, without root:
#   versitygw   checks signatures, heeds If-None-Match, enforces object lock and keeps versions
#   gofakes3    an independent second implementation
# Both are Go modules, pinned, built from source through the Go module proxy and its checksum database.
# Usage: eval "$(.ci/install-s3-servers.sh <directory>)"   prints the exports the tests look for.
# Needs Go >= 1.24 (one older than the modules want fetches its own toolchain through the proxy). What is there already is kept.
set -euo pipefail

versitygw_version=v1.8.0
gofakes3_version=v1.2.0

target=${1:?usage: install-s3-servers.sh <directory>}
mkdir -p "$target"
target=$(cd "$target" && pwd)

build() {
  local binary=$target/$1 package=$2
  [ -x "$binary" ] && return 0
  # Outside any module of this directory, and never with a module of the caller's.
  (cd / && GOFLAGS= CGO_ENABLED=0 GOBIN="$target" go install -buildvcs=false "$package") >&2
}

build versitygw "github.com/versity/versitygw/cmd/versitygw@$versitygw_version"
build gofakes3 "github.com/johannesboyne/gofakes3/cmd/gofakes3@$gofakes3_version"

echo "export HOLDFAST_VERSITYGW=$target/versitygw"
echo "export HOLDFAST_GOFAKES3=$target/gofakes3"
