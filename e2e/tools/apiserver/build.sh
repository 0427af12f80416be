#!/usr/bin/env bash
# Builds kube-apiserver for the end-to-end tests: build.sh DIR. What is there
# already and not older than go.mod stays. The first build takes minutes. Nothing
# that is built imports OpenShift's resource definitions, so they are downloaded.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")"

export GOFLAGS=''
go mod download github.com/openshift/api
if [[ $out/kube-apiserver -nt go.mod ]]; then
  exit 0
fi
mkdir -p "$out"
CGO_ENABLED=0 go build -trimpath -o "$out/kube-apiserver.partial" k8s.io/kubernetes/cmd/kube-apiserver
mv "$out/kube-apiserver.partial" "$out/kube-apiserver"
