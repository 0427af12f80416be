#!/bin/sh
# Puts nodeseal from a stick on this node and makes the empty slots, as root:
#
#   sh install.sh [STICK]
#   sh install.sh --device DEVICE     mounts the stick meanwhile, and asks no person: so the
#                                     unit does at boot if the program is missing
#
# Nothing of the stick runs before a key of the node (/etc/nodeseal/bundle.pub) was
# found to have signed it. On a node without a key, a person compares the sum.
set -eu
to=${TARGET:-/var/usrlocal/bin/nodeseal}
key=${KEY:-/etc/nodeseal/bundle.pub}

said=
fail() {
	said=yes
	echo "FAILED: $*" >&2
	exit 1
}

# What is being done, for a command that fails with a message of its own.
doing="making a directory in ${TMPDIR:-/tmp}"
work=
copy=
mounted=
end() {
	code=$?
	trap - EXIT
	[ -z "$mounted" ] || umount "$mounted" || :
	rm -rf ${work:+"$work"} ${copy:+"$copy"} || :
	if [ "$code" -gt 128 ] && [ -z "$said" ]; then
		echo "FAILED: interrupted while $doing" >&2
	elif [ "$code" -ne 0 ] && [ -z "$said" ]; then
		echo "FAILED: $doing did not succeed, for the reason above" >&2
	fi
	exit "$code"
}
trap end EXIT
# Not every shell runs the trap of EXIT when a signal ends it.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d)

if [ "${1:-}" = --device ]; then
	[ "$#" -eq 2 ] || fail "--device needs one DEVICE"
	doing="looking for the stick"
	device=$2
	label=${device##*/}
	# systemd before 250 (RHEL 8) does not know the colons in this file, and makes no slots. But
	# a store path that is missing stops podman.
	conf=${TMPFILES:-/etc/tmpfiles.d/nodeseal.conf}
	doing="making the slots of $conf"
	if [ -f "$conf" ]; then
		slot=$(awk '$3 ~ /^:/ { print $2; exit }' "$conf")
		if [ "$slot" ] && [ ! -d "$slot" ]; then
			sed 's/ :0/ 0/' "$conf" >"$work/slots.conf"
			systemd-tmpfiles --create "$work/slots.conf" || echo "the slots cannot be made" >&2
		fi
	fi
	doing="looking for the stick"
	[ -f "$key" ] || fail "$to is missing, and no stick can bring it: this node has no key ($key) to check it with"
	# A stick may be found by the kernel later than this runs.
	left=${WAIT:-0}
	while [ ! -b "$device" ] && [ "$left" -gt 0 ]; do
		sleep 1
		left=$((left - 1))
	done
	[ -b "$device" ] || fail "$to is missing, and there is no stick with the label $label to install it from." \
		"Plug in one that nodeseal carry --sign-key has filled: it is installed and imported then, without a restart"
	# As nodeseal import-stick mounts it: other file systems are more code that reads what a
	# stranger wrote.
	kind=$(blkid -p -o value -s TYPE "$device") || kind=
	case $kind in
	vfat | exfat | ext4 | xfs | iso9660 | udf) ;;
	*) fail "the stick $device has the file system ${kind:-unknown}, want vfat, exfat, ext4, xfs, iso9660 or udf" ;;
	esac
	stick=$work/stick
	mkdir "$stick"
	mount -t "$kind" -o ro,noexec,nosuid,nodev "$device" "$stick" || fail "the stick $device cannot be mounted as $kind"
	mounted=$stick
	program="nodeseal on the stick $device"
else
	stick=${1:-$(dirname -- "$0")}
	case $stick in -*) stick=./$stick ;; esac
	device=
	program=$stick/nodeseal
fi

for f in nodeseal nodeseal.sig SHA256SUMS; do
	if [ -L "$stick/$f" ] || { [ -e "$stick/$f" ] && [ ! -f "$stick/$f" ]; }; then
		fail "$stick/$f is not a regular file"
	fi
done
[ -f "$stick/nodeseal" ] || fail "there is no $program. Fill the stick with nodeseal carry"
doing="making $(dirname "$to")"
mkdir -p "$(dirname "$to")"
doing="writing to $(dirname "$to")"
# One run at a time: the unit may run while a person does. What a power cut left goes.
exec 9>>"$(dirname "$to")/.nodeseal.lock"
flock 9
rm -rf "$to.new"
mkdir "$to.new"
copy=$to.new
new=$copy/nodeseal

doing="copying $program to $new"
# The copy is checked, not the stick: a stick may give other bytes the next time.
head -c 536870912 "$stick/nodeseal" >"$new"
sum=$(sha256sum <"$new" | cut -d' ' -f1)
if ! head -c 1048576 "$stick/SHA256SUMS" | grep -qx "$sum  nodeseal"; then
	fail "$program is damaged: its sha256 is $sum, which SHA256SUMS does not say"
fi

doing="checking $program"
# The key signs inventories of bundles, too: one of these is no program, and a shell
# would run its text.
if [ "$(head -c 4 "$new" | od -An -tx1 | tr -d ' \n')" != 7f454c46 ]; then
	fail "$program is not a program"
fi

if [ -e "$key" ] || [ -L "$key" ]; then
	command -v openssl >/dev/null || fail "this node has no openssl to check the signature of $program"
	[ -f "$stick/nodeseal.sig" ] || fail "$program is not signed: there is no nodeseal.sig. Fill the stick with nodeseal carry --sign-key"
	head -c 4096 "$stick/nodeseal.sig" | base64 -d >"$work/sig" || fail "the signature of $program, nodeseal.sig, cannot be read"
	# openssl reads the first key of a file only; any of them may have signed.
	n=0
	while IFS= read -r line || [ "$line" ]; do
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
	if [ -z "$signed" ]; then
		case $(openssl version) in
		"OpenSSL 1."*) note=" (an Ed25519 key needs OpenSSL 3, this node has $(openssl version); ECDSA works with both)" ;;
		*) note= ;;
		esac
		fail "$program is not signed by the key of this node, $key: do not use this stick$note"
	fi
	echo "signed by the key of this node: $program"
else
	echo "This node has no key ($key). The sha256 of $program is"
	echo "  $sum"
	printf 'Is it the sum on the printed page? (yes or no) '
	read -r answer || answer=
	[ "$answer" = yes ] || fail "the program was not put on this node"
fi

doing="putting the program at $to"
chmod 0755 "$new"
# systemd executes nothing that has the label of a stick.
if command -v restorecon >/dev/null; then restorecon "$new" || true; fi
"$new" --version >/dev/null || fail "$program does not run on this machine ($(uname -m))"
# A power cut must not leave the name without the content.
sync "$new"
mv -fT "$new" "$to"
sync "$(dirname "$to")"
if [ "$device" ]; then
	echo "OK: $to is there, from the stick $device"
	exit
fi
doing="$to is there, but $to mount --root ${ROOT:-/var/lib/shared/nodeseal}"
"$to" mount --root "${ROOT:-/var/lib/shared/nodeseal}"
echo "OK: $to is there. Next: $to import-stick $stick"
