#!/usr/bin/env bash
# Builds the program that reads stores with versions of the storage library, for the
# end-to-end tests: build.sh DIR [VERSION...]. It writes DIR/storage/VERSION for each folder
# of that name here, or for those that are named. What is there already and not older than
# its source stays.
set -euo pipefail
out=$(realpath -m "$1")/storage
shift
cd "$(dirname "$0")"
[[ $# -gt 0 ]] || set -- */

export GOFLAGS='' CGO_ENABLED=0
mkdir -p "$out"
for version; do
  version=${version%/}
  newest=$(ls -t "$version/go.mod" ./*.go | head -n 1)
  if [[ $out/$version -nt $newest ]]; then
    continue
  fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cp "$version"/go.* ./*.go "$work"
  # The module's name up to the version 1.59.
  if grep -q 'github.com/containers/storage ' "$version/go.mod"; then
    sed -i 's|go.podman.io/storage|github.com/containers/storage|' "$work"/*.go
  fi
  (cd "$work" && go build -trimpath -buildvcs=false -tags "storage exclude_graphdriver_btrfs exclude_graphdriver_devicemapper" -o "$out/$version.partial" .)
  mv "$out/$version.partial" "$out/$version"
  rm -rf "$work"
done
