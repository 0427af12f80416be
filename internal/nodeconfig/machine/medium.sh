#!/bin/sh
# Mounts the image store of the medium that a cluster is installed from, in the live system.
# Nothing is copied: the store stays on the medium, which must stay where it is until this
# machine restarts. Until it is mounted, an empty store is in its place.
set -eu
device=${DEVICE:-/dev/disk/by-label/NODESEAL}
medium=${MEDIUM:-/run/nodeseal/medium}
store=${STORE:-/run/nodeseal_images}

fail() {
	echo "FAILED: $*" >&2
	echo "  -> then: systemctl start nodeseal-medium nodeseal-serve" >&2
	exit 1
}

# A medium of a server's own management processor takes a while to be there.
left=${WAIT:-0}
while [ ! -b "$device" ] && [ "$left" -gt 0 ]; do
	sleep 1
	left=$((left - 1))
done
[ -b "$device" ] || fail "there is no medium with the label ${device##*/}. Plug it in"

total=$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)
if [ "$total" -lt "${MEMORY:-0}" ]; then
	echo "WARNING: this machine has $((total / 1024)) MiB of memory. The live system keeps all that it writes in memory," \
		"the operating system's image too: an installation may end for want of it (recommended: $((MEMORY / 1024)) MiB)" >&2
fi

kind=$(blkid -p -o value -s TYPE "$device") || kind=
case $kind in
ext4 | xfs) ;;
*) fail "the medium $device has the file system ${kind:-unknown}, want ext4 or xfs: others hold no file of this length. Make it again" ;;
esac
context=
if [ -e /sys/fs/selinux/enforce ]; then context=,context=system_u:object_r:container_ro_file_t:s0; fi
mkdir -p "$medium"
if ! mountpoint -q "$medium"; then
	# An older mount(8) does not know nosymfollow.
	options=ro,nodev,noexec,nosuid$context
	mount -t "$kind" -o "$options,nosymfollow" "$device" "$medium" 2>/dev/null ||
		mount -t "$kind" -o "$options" "$device" "$medium" || fail "the medium $device cannot be mounted as $kind"
fi

if ! mountpoint -q "$store"; then
	# A link would lead out of the medium.
	for f in images.erofs images; do [ ! -L "$medium/$f" ] || fail "$f of the medium is a symbolic link"; done
	if [ -f "$medium/images.erofs" ]; then
		mount -t erofs -o "ro,nodev,loop$context" "$medium/images.erofs" "$store" || {
			grep -qw erofs /proc/filesystems || fail "the kernel of this live system, $(uname -r), has no EROFS." \
				"Make the store as a folder: nodeseal import BUNDLE --store MEDIUM/images --no-seal --no-mount"
			fail "images.erofs of the medium cannot be mounted: is the copy whole? nodeseal verify says so"
		}
	elif [ -d "$medium/images" ]; then
		mount --bind "$medium/images" "$store"
		mount -o remount,bind,ro,nodev "$store"
	else
		fail "the medium $device has neither images.erofs nor a folder images"
	fi
fi

if ! grep -q "$DIGEST" "$store/overlay-images/images.json"; then
	umount "$store"
	fail "the store of the medium is not of OpenShift $RELEASE: it does not have the release image $DIGEST. Take the medium of this installation"
fi
echo "OK: the images of OpenShift $RELEASE are at $store, from the medium $device. Leave it plugged in until this machine restarts"
