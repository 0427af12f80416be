#!/usr/bin/env bash
# Gives the machine SELinux: build.sh ROOT. Of Debian's policy what a small machine needs, the
# module for containers, which is only in its sources, and node.te.
set -euo pipefail
root=$1
work=$root/tmp/policy
modules="base unconfined staff xserver xdg setrans hostname lvm getty clock netutils iptables mta ssh su sudo raid tzdata shutdown"

mkdir "$work"
chroot "$root" sh -c 'cd /tmp/policy && apt-get download -q selinux-policy-default selinux-policy-dev selinux-policy-src' >&2
dpkg-deb -x "$work"/selinux-policy-default_*.deb "$root"
dpkg-deb -x "$work"/selinux-policy-dev_*.deb "$root"
dpkg-deb -x "$work"/selinux-policy-src_*.deb "$work/src"
tar -C "$work" -xf "$work/src/usr/src/selinux-policy-src.tar.zst" --strip-components=4 --wildcards '*/services/container.[tf][ec]'
cp node.te node.fc "$work"
printf '%s\n' SELINUX=enforcing SELINUXTYPE=default >"$root/etc/selinux/config"
mkdir -p "$root/var/lib/selinux/default"
chroot "$root" sh -c 'cd /tmp/policy && make -f /usr/share/selinux/devel/Makefile AWK=awk container.pp node.pp
  for module; do set -- "$@" -i "/usr/share/selinux/default/$module.pp.bz2"; shift; done
  semodule -X 100 -n -s default "$@" -i container.pp -i node.pp' modules $modules >&2
rm -rf "$work" "$root/usr/share/selinux"
