set -eu
cp "$PROGRAM" "/host$TARGET.new"
chmod 0755 "/host$TARGET.new"
mv -f "/host$TARGET.new" "/host$TARGET"
host() { nsenter --target 1 --mount -- "$@"; }
host restorecon "$TARGET"
host "$TARGET" mount --root "$ROOT"
trap 'exit 0' TERM
while :; do sleep 3600 & wait $!; done
