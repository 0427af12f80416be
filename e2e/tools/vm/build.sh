#!/usr/bin/env bash
# Makes the machine of the tests in e2e/vm from Debian packages: build.sh DIR. It writes
# DIR/vm/disk (a root file system, ext4), kernel and initrd. What was made from the same
# files of this folder stays. Needs root and mmdebstrap.
set -euo pipefail
out=$(realpath -m "$1")/vm
cd "$(dirname "$0")"

key=$(cat build.sh agent.sh agent.service policy/* | sha256sum)
if [[ -f $out/key && $(<"$out/key") == "$key" ]]; then
  exit 0
fi
rm -rf "$out"
mkdir -p "$out"

packages=linux-image-amd64,systemd-sysv,udev,kmod,util-linux,mount,e2fsprogs,xfsprogs,attr,procps,tar
packages+=,strace # stops a program at a system call, before the power goes
packages+=,runc,conmon,libseccomp2,socat # CRI-O, and the way to it
packages+=,policycoreutils,checkpolicy,semodule-utils,m4,make

# The initrd has what the root file system needs and no more: unpacking is slow without KVM.
root=$out/root.partial
mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
  --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
    echo MODULES=list >"$1/etc/initramfs-tools/conf.d/few"
    printf "%s\n" virtio_pci virtio_blk ext4 >"$1/usr/share/initramfs-tools/modules.d/few"' \
  --customize-hook="cd '$PWD/policy' && ./build.sh \"\$1\"" \
  bookworm "$root" http://deb.debian.org/debian

echo node1 >"$root/etc/hostname"
echo '127.0.0.1 localhost node1' >"$root/etc/hosts"
cat >"$root/etc/fstab" <<'FSTAB'
/dev/vda / ext4 rw 0 1
/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_shared /var/lib/shared auto rw,x-systemd.device-timeout=0 0 0
FSTAB
mkdir -p "$root/var/lib/shared" "$root/var/usrlocal/bin" "$root/etc/systemd/system/sysinit.target.wants"
install -m 755 agent.sh "$root/usr/local/sbin/agent"
install -m 644 agent.service "$root/etc/systemd/system/agent.service"
ln -s ../agent.service "$root/etc/systemd/system/sysinit.target.wants/agent.service"
# What a machine without a person at it and without a network has no use for: each program
# that starts takes a second without KVM.
for unit in getty@tty1.service getty-static.service serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer \
  dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-networkd.service systemd-timesyncd.service \
  systemd-binfmt.service proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
  sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount systemd-pstore.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service selinux-autorelabel-mark.service \
  modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# This processor is emulated, beside other work: what takes a second on a node may take a minute
# here. A unit that hangs runs into the test's own limit.
mkdir -p "$root/etc/systemd/system/service.d" "$root/etc/systemd/system/mount.d"
printf '[Service]\nTimeoutStartSec=infinity\n' >"$root/etc/systemd/system/service.d/50-emulated.conf"
printf '[Mount]\nTimeoutSec=infinity\n' >"$root/etc/systemd/system/mount.d/50-emulated.conf"
# Without one the boot is a first one, which enables what the packages want.
echo 6e6f64657365616c6e6f64657365616c >"$root/etc/machine-id"

mv "$root"/boot/vmlinuz-* "$out/kernel"
mv "$root"/boot/initrd.img-* "$out/initrd"
unshare --mount sh -c 'mount -t proc proc "$1/proc" && chroot "$1" setfiles -F -e /proc -e /sys -e /dev -e /run "$2" /' \
  label "$root" /etc/selinux/default/contexts/files/file_contexts
truncate -s 3G "$out/disk.partial"
mke2fs -q -t ext4 -d "$root" "$out/disk.partial"
rm -rf "$root"
mv "$out/disk.partial" "$out/disk"
echo "$key" >"$out/key"
