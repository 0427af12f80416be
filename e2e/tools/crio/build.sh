#!/usr/bin/env bash
# Builds CRI-O and its pinns for the end-to-end tests: build.sh DIR. What is
# there already and not older than go.mod stays. Needs Go, gcc, pkg-config and
# libseccomp-dev; the first build takes minutes.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")"

if [[ $out/crio -nt go.mod && $out/pinns -nt go.mod ]]; then
  exit 0
fi
mkdir -p "$out"

tags="containers_image_openpgp containers_image_ostree_stub exclude_graphdriver_btrfs exclude_graphdriver_devicemapper seccomp"
CGO_ENABLED=1 go build -trimpath -buildvcs=false -tags "$tags" -o "$out/crio.partial" github.com/cri-o/cri-o/cmd/crio

source=$(go list -m -f '{{.Dir}}' github.com/cri-o/cri-o)/pinns/src
cc -std=c99 -Os -static -o "$out/pinns.partial" "$source"/*.c

mv "$out/pinns.partial" "$out/pinns"
mv "$out/crio.partial" "$out/crio"
