# SPDX-License-Identifier: Apache-2.0
# kill_servers.bash: ends all keepers and page servers of a test.
# shellcheck shell=bash

# Kills those whose control socket has a path that begins so, whichever process has started them. They are stopped first, until
# no further one appears: a keeper starts another server, and a server another keeper.
kill_servers_at() { # <beginning of a path>
  local file words pids=() found=()
  while
    pids=("${found[@]}") found=()
    for file in /proc/[0-9]*/cmdline; do
      mapfile -d '' -t words <"$file" || continue
      [[ " ${words[*]}" == *" --control $1"* && ${words[*]:0:3} == *uffd-@(serve|keeper)* ]] || continue
      file=${file%/cmdline}
      found+=("${file##*/}")
    done 2>/dev/null
    ((${#found[@]})) && kill -STOP "${found[@]}" 2>/dev/null
    [[ ${found[*]} != "${pids[*]}" ]]
  do :; done
  ((!${#pids[@]})) || kill -KILL "${pids[@]}" 2>/dev/null || true
}
