#!/bin/sh
# hosts.sh add|remove [HOSTS [LINES]]: adds the lines of LINES (/etc/nodeseal/hosts) to
# HOSTS (/etc/hosts) in the place of its earlier ones, or removes those. HOSTS is replaced
# whole: a power cut leaves the old file or the new one. Made by nodeseal config.
set -eu
hosts=${2:-/etc/hosts}
lines=${3:-/etc/nodeseal/hosts}
new=$(mktemp "$hosts.XXXXXX")
trap 'rm -f "$new"' EXIT
cp -p "$hosts" "$new" # with its owner and mode
chcon --reference="$hosts" "$new" 2>/dev/null || true # where there is SELinux
grep -v '# nodeseal$' "$hosts" >"$new" || [ $? -eq 1 ]
[ "$1" = remove ] || cat "$lines" >>"$new"
if cmp -s "$new" "$hosts"; then
  exit 0
fi
sync "$new"
mv -f "$new" "$hosts"
