#!/bin/sh
# Becomes the first process of a host. Called three times in a row, each time one layer further in:
#   boot.sh outside STATE HOSTNAME INIT NETNS   in the machine's namespaces; makes new ones
#   boot.sh cgroups STATE HOSTNAME INIT         first process of the new namespaces; joins the host's cgroups
#   boot.sh inside  STATE HOSTNAME INIT         builds the host's file system and becomes its init
# STATE holds root/ (the host's disk) and the tab-separated lists `cgroups`, `binds` and `layers`. INIT is systemd or sleep.
set -eu
stage=$1 state=$2 name=$3 init=$4

if [ "$stage" = outside ]; then
  exec nsenter --net="/run/netns/$5" -- \
    unshare --fork --pid --mount --uts --ipc --kill-child -- sh "$0" cgroups "$state" "$name" "$init"
fi

if [ "$stage" = cgroups ]; then
  # Only the host's own processes join, not the unshare that waits outside: with cgroup v2 a process in the host's
  # topmost cgroup would keep systemd from handing out controllers.
  while IFS='	' read -r _ dir; do echo 0 >"$dir/cgroup.procs"; done <"$state/cgroups"
  # /proc still belongs to the machine here, so this is the process id as the machine sees it.
  read -r stat </proc/self/stat
  pid=${stat%% *}
  set -- ${stat##*) }
  echo "$pid ${20}" >"$state/init.pid.new"
  mv "$state/init.pid.new" "$state/init.pid"
  exec unshare --cgroup -- sh "$0" inside "$state" "$name" "$init"
fi

root=$state/root
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"

layers=
while IFS= read -r layer; do layers=$layers$layer:; done <"$state/layers"
if [ -n "$layers" ]; then
  mount -t overlay -o "ro,lowerdir=$layers/usr" overlay usr
else
  mount --bind /usr usr
  mount -o remount,bind,ro usr
fi

mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro,nosuid,nodev,noexec proc/sys # what is the machine's stays as it is
mount -t proc proc mnt
mount --bind mnt/sys/net proc/sys/net # what belongs to the network namespace is the host's
umount -l mnt
# The kubelet insists on setting these, and they are the machine's: the host gets private files in their place.
mount -t tmpfs -o size=1m tmpfs mnt
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  key=${setting%=*}
  [ -e "proc/sys/$key" ] || continue
  file=mnt/$(echo "$key" | tr / _)
  echo "${setting#*=}" >"$file"
  mount --bind "$file" "proc/sys/$key"
done
umount -l mnt

mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys # read-only: systemd then leaves the machine's devices alone
if [ "$(cut -f1 "$state/cgroups")" = cgroup2 ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  while IFS='	' read -r controllers _; do
    case $controllers in
      cgroup2) dir=unified ;;
      name=*) dir=${controllers#name=} ;;
      *) dir=$controllers ;;
    esac
    mkdir "sys/fs/cgroup/$dir"
    case $controllers in
      cgroup2) mount -t cgroup2 cgroup2 "sys/fs/cgroup/$dir" ;;
      name=*) mount -t cgroup -o "none,$controllers" cgroup "sys/fs/cgroup/$dir" ;;
      *,*)
        mount -t cgroup -o "$controllers" cgroup "sys/fs/cgroup/$dir"
        for one in $(echo "$controllers" | tr , ' '); do ln -s "$dir" "sys/fs/cgroup/$one"; done
        ;;
      *) mount -t cgroup -o "$controllers" cgroup "sys/fs/cgroup/$dir" ;;
    esac
  done <"$state/cgroups"
fi

mount -t tmpfs -o mode=755,size=4m tmpfs dev
mkdir dev/pts dev/shm dev/net
for device in null zero full random urandom tty fuse kmsg net/tun; do
  [ -e "/dev/$device" ] || continue
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
touch dev/console
mount --bind /dev/null dev/console
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mknod dev/loop-control c 10 237
for number in 0 1 2 3 4 5 6 7; do mknod "dev/loop$number" b 7 "$number"; done
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp

while IFS='	' read -r mode from to; do
  if [ -d "$from" ]; then
    mkdir -p "$root$to"
  else
    mkdir -p "$root${to%/*}"
    [ -e "$root$to" ] || touch "$root$to"
  fi
  mount --rbind "$from" "$root$to"
  if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root$to"; fi
done <"$state/binds"

hostname "$name"
mkdir -p .machine
pivot_root . .machine
cd /
umount -l /.machine
rmdir /.machine
mount --make-rshared / # containers' mounts and the kubelet's need it

# `container` tells systemd that the hardware is not its own.
case $init in
  systemd)
    exec env -i container=k8sd-host PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root TERM=dumb \
      /usr/lib/systemd/systemd --system --log-target=journal --show-status=no
    ;;
  *) exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root sleep infinity ;;
esac
