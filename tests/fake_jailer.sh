#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A test double of Firecracker's jailer: the directories, the devices, the user, and chroot(2).
#
# It parses the options of the jailer, refuses others, and becomes the program in BASE/NAME/ID/root. Unlike the jailer it
# copies the libraries of the program, because fake-firecracker is not static, and keeps the variables FAKE_*. It makes no
# mount namespace and supports cgroups of version 1 only.
#
#| FAKE_JAILER_FAIL  early: it ends with status 1 before it does anything; late: before it becomes the program
set -euo pipefail

refuse() {
  printf '%s\n' "$1" >&2
  exit 1
}

id='' exec_file='' uid='' gid='' base='' netns='' parent='' cgroups=()
while (($#)); do
  case $1 in
    --id) id=$2 ;;
    --exec-file) exec_file=$2 ;;
    --uid) uid=$2 ;;
    --gid) gid=$2 ;;
    --chroot-base-dir) base=$2 ;;
    --netns) netns=$2 ;;
    --cgroup) cgroups+=("$2") ;;
    --parent-cgroup) parent=$2 ;;
    --resource-limit | --cgroup-version) ;;
    --)
      shift
      break
      ;;
    *) refuse "Failed to parse arguments: Found argument '${1#--}' which wasn't expected, or isn't valid in this context." ;;
  esac
  shift 2
done
[[ ${FAKE_JAILER_FAIL-} != early ]] || refuse 'fake jailer: fails early'
[[ $id =~ ^[A-Za-z0-9-]{1,64}$ ]] || refuse "Invalid instance ID: $id"
[[ $uid =~ ^[0-9]+$ ]] || refuse "Invalid uid: $uid"
[[ $gid =~ ^[0-9]+$ ]] || refuse "Invalid gid: $gid"

name=${exec_file##*/}
root=$base/$name/$id/root
umask 022
mkdir -p "$root"/{dev/net,run}
cp -- "$exec_file" "$root/$name"
for library in $(ldd "$exec_file" | grep -o '/[^ ]*'); do
  mkdir -p "$root${library%/*}"
  [[ -e $root$library ]] || cp -L -- "$library" "$root$library"
done
for cgroup in "${cgroups[@]}"; do
  group=/sys/fs/cgroup/${cgroup%%.*}/${parent:-$name}/$id
  mkdir -p "$group"
  printf '%s\n' "${cgroup#*=}" >"$group/${cgroup%%=*}"
  printf '%s\n' "$BASHPID" >"$group/tasks"
done
mknod -m 600 "$root/dev/net/tun" c 10 200
minor=$(awk '$2 == "userfaultfd" {print $1}' /proc/misc)
[[ -z $minor ]] || mknod -m 600 "$root/dev/userfaultfd" c 10 "$minor"
(set -o noclobber && printf '%d' "$$" >"$root/$name.pid")
chown "$uid:$gid" "$root" "$root"/{dev,dev/net,run} "$root"/dev/{net/tun,userfaultfd} "$root/$name"
chmod 700 "$root" "$root"/{dev,dev/net,run}
[[ ${FAKE_JAILER_FAIL-} != late ]] || refuse 'fake jailer: fails late'
umask 077
enter=()
[[ -z $netns ]] || enter=(nsenter "--net=$netns")
exec "${enter[@]}" chroot "--userspec=$uid:$gid" --groups= "$root" "/$name" --id "$id" "$@"
