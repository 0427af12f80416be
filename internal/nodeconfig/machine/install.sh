#!/bin/sh
# Puts nodeseal from a stick on this node and makes the empty slots, as root:
#
#   sh install.sh [STICK]
#
# Nothing of the stick runs before a key of the node (/etc/nodeseal/bundle.pub) was
# found to have signed it. On a node without a key, a person compares the sum.
set -eu
stick=${1:-$(dirname "$0")}
to=${TARGET:-/var/usrlocal/bin/nodeseal}
key=${KEY:-/etc/nodeseal/bundle.pub}

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

for f in nodeseal nodeseal.sig SHA256SUMS; do
	if [ -L "$stick/$f" ] || { [ -e "$stick/$f" ] && [ ! -f "$stick/$f" ]; }; then
		fail "$stick/$f is not a regular file"
	fi
done
mkdir -p "$(dirname "$to")"
new=$to.new
work=$(mktemp -d)
trap 'rm -rf "$work" "$new"' EXIT

# The copy is checked, not the stick: a stick may give other bytes the next time.
rm -f "$new"
head -c 536870912 "$stick/nodeseal" >"$new"
sum=$(sha256sum <"$new" | cut -d' ' -f1)
if ! head -c 1048576 "$stick/SHA256SUMS" | grep -qx "$sum  nodeseal"; then
	fail "$stick/nodeseal is damaged: its sha256 is $sum, which SHA256SUMS does not say"
fi

# The key signs inventories of bundles, too: one of these is no program, and a shell
# would run its text.
if [ "$(head -c 4 "$new" | od -An -tx1 | tr -d ' \n')" != 7f454c46 ]; then
	fail "$stick/nodeseal is not a program"
fi

if [ -e "$key" ] || [ -L "$key" ]; then
	[ -f "$stick/nodeseal.sig" ] || fail "$stick/nodeseal is not signed: there is no nodeseal.sig. Fill the stick with nodeseal carry --sign-key"
	head -c 4096 "$stick/nodeseal.sig" | base64 -d >"$work/sig" || fail "$stick/nodeseal.sig is no signature"
	# openssl reads the first key of a file only; any of them may have signed.
	n=0
	while IFS= read -r line; do
		case $line in "-----BEGIN PUBLIC KEY-----"*) n=$((n + 1)) ;; esac
		printf '%s\n' "$line" >>"$work/key.$n"
	done <"$key"
	signed=
	i=1
	while [ "$i" -le "$n" ]; do
		if openssl dgst -sha256 -verify "$work/key.$i" -signature "$work/sig" "$new" >/dev/null 2>&1 ||
			openssl pkeyutl -verify -pubin -inkey "$work/key.$i" -rawin -in "$new" -sigfile "$work/sig" >/dev/null 2>&1; then
			signed=yes
		fi
		i=$((i + 1))
	done
	[ "$signed" ] || fail "$stick/nodeseal is not signed by the key of this node, $key: do not use this stick"
	echo "signed by the key of this node: $stick/nodeseal"
else
	echo "This node has no key ($key). The sha256 of $stick/nodeseal is"
	echo "  $sum"
	printf 'Is it the sum on the printed page? (yes or no) '
	read -r answer || answer=
	[ "$answer" = yes ] || fail "the program was not put on this node"
fi

chmod 0755 "$new"
mv -f "$new" "$to"
if command -v restorecon >/dev/null; then restorecon "$to"; fi
"$to" mount --root "${ROOT:-/var/lib/shared/nodeseal}"
echo "OK: $to is there. Next: $to import-stick $stick"
