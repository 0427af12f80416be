#!/usr/bin/env bash
# Builds crun, OpenShift's default runtime, for the end-to-end tests: build.sh DIR. Debian
# 12's is too old for CRI-O, so the source is the one of Debian's next release, whose own
# configure and copy of yajl leave gcc, make, python3, libcap-dev and libseccomp-dev to
# be installed. What is there already and not older than this file stays.
set -euo pipefail
version=1.21
sha256=4bfb700e764a4804a4de3ecf07753f4c391005356d60356df65d80ae0914c486
out=$(realpath -m "$1")
script=$(realpath "$0")

if [[ $out/crun -nt $script ]]; then
  exit 0
fi
mkdir -p "$out"
work=$(mktemp -d "$out/crun.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# apt's own client: its proxy, its retries, and the file has the digest or is none.
/usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=3 download-file \
  "http://deb.debian.org/debian/pool/main/c/crun/crun_$version.orig.tar.gz" crun.tar.gz "SHA256:$sha256"
tar xzf crun.tar.gz --strip-components=1
log() { "$@" >log 2>&1 || { tail -n 40 log >&2; exit 1; }; }
log ./configure CFLAGS=-O1 --quiet --disable-dependency-tracking --disable-shared --enable-embedded-yajl \
  --disable-systemd --disable-criu --disable-bpf --disable-dl
log make --silent -j"$(nproc)"
strip crun
mv crun "$out/crun"
