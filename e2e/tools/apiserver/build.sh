#!/usr/bin/env bash
# Builds the programs of Kubernetes for the end-to-end tests: build.sh DIR. What is there
# already and not older than go.mod stays. The first build takes minutes. Nothing
# that is built imports OpenShift's resource definitions, so they are downloaded.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")"

export GOFLAGS=''
go mod download github.com/openshift/api
packages=() names=()
for name in kube-apiserver kubelet kube-scheduler kube-controller-manager; do
  if [[ ! $out/$name -nt go.mod ]]; then
    packages+=("k8s.io/kubernetes/cmd/$name") names+=("$name")
  fi
done
if [[ ${#names[@]} -eq 0 ]]; then
  exit 0
fi

# One build, so that what the programs share is compiled once.
partial=$out/kubernetes.partial
rm -rf "$partial"
mkdir -p "$partial"
CGO_ENABLED=0 go build -trimpath -o "$partial/" "${packages[@]}"
for name in "${names[@]}"; do
  mv "$partial/$name" "$out/$name"
done
rmdir "$partial"
