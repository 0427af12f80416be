#!/bin/sh
# Cuts units off for a rehearsal, and undoes it. Written by nodeseal rehearse, which it does
# not need any more: systemd runs it.
set -eu
kept=/var/lib/nodeseal/rehearse # what the report and the ordered boot read
live=/run/nodeseal/rehearse     # the running rehearsal: gone at every boot
runtime=/run/systemd/system
etc=/etc/systemd/system
table='inet nodeseal_rehearse'
unit=nodeseal-rehearse.service
boot=nodeseal-rehearse-boot.service
boot_id=$(cat /proc/sys/kernel/random/boot_id)

uptime() {
  read -r up _ </proc/uptime
  echo "${up%.*}"
}

# begin SECONDS: cuts, for so many seconds at most.
begin() {
  rm -rf "$live"
  mkdir -p "$live" "$runtime"
  cp -R "$kept/rehearse.sh" "$kept/cut.nft" "$kept/units" "$kept/system" "$live/"
  sed -i "s/@SECONDS@/$1/g" "$live"/system/*.timer
  # The kernel's end is a little later: else a pull would be answered just before the report ends.
  sed -i "s/@SECONDS@/$(($1 + 30))/g" "$live/cut.nft"
  echo $(($(uptime) + $1)) >"$live/until"
  cp -R "$live/system/." "$runtime/"
  systemctl daemon-reload && systemctl start "$unit" || {
    stop
    exit 1
  }
}

# start loads the rules. SELinux may keep nft from files here: it reads and writes pipes.
start() {
  cat "$live/cut.nft" | nft -f -
  while read -r name; do attach "$name"; done <"$live/units"
}

# attach UNIT: a rule holds a control group by its number, and each start of a unit makes
# a new group. So this runs in each start of the unit, before its program.
attach() {
  group=system.slice/$1
  [ -d "/sys/fs/cgroup/$group" ] || return 0
  number=$(grep -nxF -- "$1" "$live/units" | cut -d: -f1)
  if printf 'flush chain %s who_%s\nadd rule %s who_%s socket cgroupv2 level 2 "%s" jump cut_%s\n' \
    "$table" "$number" "$table" "$number" "$group" "$number" | nft -f -; then
    stat -c %i "/sys/fs/cgroup/$group" >"$live/attached.$1"
  elif [ -d "/sys/fs/cgroup/$group" ]; then # else it has ended meanwhile
    echo "$1" >>"$live/missed"
  fi
}

# stop undoes the cut first, and then keeps what was counted. No failure ends it.
stop() {
  set +e
  [ -d "$live" ] || return 0
  at=$(date +%s.%6N)
  counts=$(nft -j list table $table 2>/dev/null)
  nft delete table $table 2>/dev/null
  [ -n "$counts" ] || echo table >>"$live/missed"
  printf '%s\n' "$counts" >"$kept/counts.$boot_id"
  while read -r name; do
    group=/sys/fs/cgroup/system.slice/$name
    [ ! -d "$group" ] || [ "$(stat -c %i "$group")" = "$(cat "$live/attached.$name" 2>/dev/null)" ] || echo "$name" >>"$live/missed"
  done <"$live/units"
  [ ! -e "$live/missed" ] || cat "$live/missed" >>"$kept/missed"
  if [ -e "$live/reboot" ] && systemctl list-jobs | grep -q '[^-]reboot\.target'; then
    order
  else
    why=stopped
    [ ! -e "$live/why" ] || why=$(cat "$live/why")
    echo "$at $why" >"$kept/ended"
  fi
  (cd "$live/system" && find . -type f) | while read -r file; do
    rm -f "$runtime/$file"
    rmdir "$(dirname "$runtime/$file")" 2>/dev/null
  done
  rm -rf "$live"
  [ "$(systemctl is-system-running)" = stopping ] || systemctl daemon-reload
}

# order lets the next boot cut again. It runs while the node goes down for the reboot that
# nodeseal ordered, so a power cut before that leaves nothing that a boot would find.
order() {
  left=$(($(cat "$live/until") - $(uptime)))
  now=$(date +%s)
  [ "$left" -gt 0 ] || return 0
  mkdir -p "$etc/multi-user.target.wants"
  cp "$kept/$boot" "$etc/$boot"
  ln -sf "../$boot" "$etc/multi-user.target.wants/$boot"
  echo "$boot_id $now $((now + left)) $left" >"$kept/order.new"
  mv "$kept/order.new" "$kept/order"
  sync
}

# boot cuts again after the ordered reboot. What ordered it goes first, for good: no later
# boot finds it. The clock must show a time between the end of the last boot (less a minute)
# and the end of the rehearsal.
boot() {
  read -r ordered from until left <"$kept/order"
  rm -f "$kept/order" "$etc/multi-user.target.wants/$boot" "$etc/$boot"
  sync
  for file in "$kept/order" "$etc/multi-user.target.wants/$boot"; do
    [ ! -e "$file" ] || exit 1
  done
  now=$(date +%s)
  if [ "$ordered" = "$boot_id" ] || [ "$now" -lt $((from - 60)) ] || [ "$now" -ge "$until" ]; then
    echo "$now late" >"$kept/ended"
    return 0
  fi
  [ $((until - now)) -ge "$left" ] || left=$((until - now))
  begin "$left"
  while read -r name; do early "$name"; done <"$live/units"
}

# early notes a unit that the boot started before it was cut.
early() {
  cut=$(systemctl show "$unit" --property=ActiveEnterTimestampMonotonic --value)
  began=$(systemctl show "$1" --property=InactiveExitTimestampMonotonic --value)
  if [ "$began" -gt 0 ] && [ "$began" -lt "$cut" ]; then
    echo "$1" >>"$live/missed"
  fi
}

# end ends what lasted as planned. Where CRI-O or kubelet does not run, nobody asks for images.
end() {
  systemctl --quiet is-active crio.service || echo down:crio.service >>"$live/missed"
  if systemctl --quiet is-enabled kubelet.service 2>/dev/null && ! systemctl --quiet is-active kubelet.service; then
    echo down:kubelet.service >>"$live/missed"
  fi
  echo over >"$live/why"
  systemctl stop --no-block "$unit"
}

case $1 in
begin) begin "$2" ;;
start) start ;;
attach) attach "$2" ;;
stop) stop ;;
boot) boot ;;
end) end ;;
esac
