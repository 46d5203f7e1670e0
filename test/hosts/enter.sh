#!/bin/sh
# Runs a command, or a shell when none is given, inside the host whose state directory holds this script.
# Arguments of the form NAME=VALUE before the command are its environment.
set -eu
state=${0%/*}

start_time() { # of a line of /proc/PID/stat; the program's name in it may hold spaces
  set -- ${1##*) }
  started=${20}
}

if ! { read -r init since <"$state/init.pid" && read -r stat <"/proc/$init/stat"; } 2>/dev/null; then
  echo "cannot enter ${state##*/}: the host is off" >&2
  exit 125
fi
start_time "$stat"
[ "$started" = "$since" ] || { echo "cannot enter ${state##*/}: the host is off" >&2; exit 125; }

# Join the host's cgroups first: once inside its cgroup namespace they cannot be named any more.
while IFS='	' read -r _ dir; do
  [ -d "$dir/init.scope" ] && dir=$dir/init.scope
  echo 0 >"$dir/cgroup.procs"
done <"$state/cgroups"

if [ $# -eq 0 ]; then set -- "TERM=${TERM:-dumb}" bash; fi
if [ -s "$state/env" ]; then
  while IFS= read -r line; do set -- "$line" "$@"; done <"$state/env"
fi
exec nsenter -t "$init" -m -u -i -n -p -C -r -w -- \
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root TERM=dumb LANG=C.UTF-8 "$@"
