#!/bin/sh
# hosts.sh add|remove [HOSTS [LINES]]: adds the lines of LINES (/etc/nodeseal/hosts) to
# HOSTS (/etc/hosts) in the place of its earlier ones, or removes those. HOSTS stays the
# same file, because OpenShift's node-resolver has it mounted. The new content is beside it
# while it is written: what a power cut ends, the next run finishes. Made by nodeseal config.
set -eu
hosts=${2:-/etc/hosts}
lines=${3:-/etc/nodeseal/hosts}
whole=$hosts.nodeseal
new=$(mktemp "$hosts.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM
put() {
  cat "$whole" >"$hosts"
  sync "$hosts"
  rm -f "$whole"
}
: >>"$hosts" # it can be written to
[ ! -e "$whole" ] || put
# Bytes, whatever they are: a hosts file may have any.
LC_ALL=C grep -av '^255\.255\.255\.255 .* # nodeseal$' "$hosts" >"$new" || [ $? -eq 1 ]
[ "$1" = remove ] || cat "$lines" >>"$new"
if cmp -s "$new" "$hosts"; then
  exit 0
fi
sync "$new"
mv -f "$new" "$whole"
sync -f "$whole"
put
