#!/bin/bash
# Runs what the test sends: a line of base64 is a script, the answer is its exit code and,
# in base64, what it printed.
port=/dev/virtio-ports/agent
until [[ -e $port ]]; do sleep 0.1; done
exec 3<>$port
echo ready >&3
while read -r line <&3; do
  out=$(base64 -d <<<"$line" | bash 2>&1 3>&- | base64 -w0; exit "${PIPESTATUS[1]}")
  echo "$? $out" >&3
done
