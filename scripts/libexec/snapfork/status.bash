# SPDX-License-Identifier: Apache-2.0
# snapfork status: the page server, its sessions, and guests that hang.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

parts+=(pager_path pager)

# Returns 1 if a guest hangs: its page server was killed, and no other server can serve it. Returns 5 if the page server
# does not answer.
status() {
  local health='' state=serves reached=0 hung='' report='' failure=0
  read_parts
  require_run_dir 'report the status'
  ask_health || reached=$?
  case $reached in
    0) ;;
    1) state='none' ;;
    *) state=silent failure=5 ;;
  esac
  report_server "$state" "$health"
  if [[ $state == serves ]]; then report_sessions; fi
  ask hung uffd-ctl --control "$pager" --json hung || failure=5
  report_hung "$hung"
  [[ -z $hung ]] || ((failure)) || failure=1
  printf '%s' "$report" 2>/dev/null || fail 5 "cannot write 'standard output'"
  return "$failure"
}

report_server() { # <serves|none|silent> <its answer>
  local pid='' user='' cgroup='' server_version='' record
  [[ $1 == none ]] || find_lock_owner "$pager.lock"
  # Under a keeper, the process that took the lock may have been replaced.
  [[ ! $2 =~ \"server_pid\":([1-9][0-9]*) ]] || pid=${BASH_REMATCH[1]}
  [[ ! $2 =~ \"version\":\"([^\"]*)\" ]] || server_version=${BASH_REMATCH[1]}
  if [[ -n $pid && -d /proc/$pid ]]; then
    ask user without_messages stat --format=%U -- "/proc/$pid" || true # it ended in between
    find_foreign_cgroup "$pid"
  fi
  if ((json)); then
    local control
    json_string control "$pager"
    record='{"type":"page_server","v":1,"control":'$control',"state":"'$1'","pid":'${pid:-null}
    json_string user "$user"
    json_string cgroup "$cgroup"
    local quoted_version
    json_string quoted_version "$server_version"
    [[ ! $2 =~ (,\"keeper\":\{[^}]*\}) ]] || cgroup+=${BASH_REMATCH[1]}
    report+="$record,\"user\":$user,\"version\":$quoted_version,\"cgroup\":$cgroup}"$'\n'
  elif [[ $1 == none ]]; then
    report+="no page server at $pager; the next fork starts one"$'\n'
  elif [[ $1 == silent ]]; then
    report+="the page server at $pager does not answer: ${2#*: }"$'\n'
  else
    report+="page server at $pager: process ${pid:-unknown} of user ${user:-unknown}, version $server_version"$'\n'
    if [[ $2 =~ \"restarts\":([1-9][0-9]*),\"reason\":\"([a-z]+)\".*\"stall_ns\":([0-9]+) ]]; then
      report+="its keeper has replaced it ${BASH_REMATCH[1]} times; the last server was ${BASH_REMATCH[2]}, and guests waited $((BASH_REMATCH[3] / 1000)) us"$'\n'
    fi
    [[ -z $cgroup ]] || report+="it is in the cgroup $cgroup of what started it, and ends with that"$'\n'
  fi
  [[ $1 != serves || $server_version == "$version" ]] \
    || printf 'snapfork: warning: the page server has version %s, the programs have %s; it ends with its last session\n' \
      "$server_version" "$version" >&2
}

# Sets `pid` to the process that holds the flock on a file, if it is known.
find_lock_owner() { # <file>
  local device inode file kind owner where
  ask file without_messages stat --format='%d %i' -- "$1" || return 0
  read -r device inode <<<"$file"
  printf -v where '%02x:%02x:%d' $((device >> 8 & 0xfff)) $((device & 0xff | device >> 12 & 0xfff00)) "$inode"
  while read -r _ kind _ _ owner device _; do
    if [[ $kind == FLOCK && $device == "$where" ]]; then
      pid=$owner
      return
    fi
  done </proc/locks
}

# Sets `cgroup` to that of a page server that could not leave the cgroup of its starter.
find_foreign_cgroup() { # <pid>
  local path
  while IFS=: read -r _ _ path; do
    if [[ $path != / && ${path##*/} != snapfork ]]; then
      cgroup=$path
      return
    fi
  done 2>/dev/null <"/proc/$1/cgroup" || true # it ended in between
}

report_sessions() {
  local call=(uffd-ctl --control "$pager" --timeout "$answer_timeout" --json) sessions record
  show "${call[@]}" sessions
  ask sessions "${call[@]}" sessions || return 0 # the server exited in between
  [[ -n $sessions ]] || return 0
  if ((json)); then
    report+=$sessions$'\n'
    return
  fi
  while IFS= read -r record; do report_session "$record"; done <<<"$sessions"
}

# A line of `uffd-ctl sessions`, and how much memory was installed for what.
report_session() { # <its record>
  local id vmm_state asked by_window by_list
  [[ $1 =~ \"session_id\":\"([^\"]*)\" ]] || return 0
  id=${BASH_REMATCH[1]}
  [[ $1 =~ \"state\":\"([a-z]*)\",\"vmm_pid\":([0-9]+) ]] || return 0
  vmm_state=${BASH_REMATCH[1]}$'\t'${BASH_REMATCH[2]}
  if [[ $1 =~ \"bytes\":\{\"asked\":([0-9]+),\"prefetched_by_window\":([0-9]+),\"prefetched_by_list\":([0-9]+)\} && $vmm_state != waiting* ]]; then
    asked=${BASH_REMATCH[1]} by_window=${BASH_REMATCH[2]} by_list=${BASH_REMATCH[3]}
    vmm_state+=$'\t'"$((asked >> 10)) KiB asked for, $((by_list >> 10)) KiB prefetched by list, $((by_window >> 10)) KiB by window"
  fi
  report+=$id$'\t'$vmm_state$'\n'
}

report_hung() { # <records of `uffd-ctl --json hung`>
  local record session pid since id name process
  while IFS= read -r record; do
    [[ $record =~ \"session_id\":\"([^\"]*)\",\"vmm_pid\":([0-9]+),\"vmm_start_time\":([0-9]+) ]] || continue
    session=${BASH_REMATCH[1]} pid=${BASH_REMATCH[2]} since=${BASH_REMATCH[3]}
    process="pid $pid"
    ((pid)) || process="its VMM, which cannot be seen from here," since=null
    id=${session%@*}
    # A guest of another store is reported by the name of its session.
    ask name without_messages snapshot-meta session-name "$id" || true
    [[ $name == "$session" ]] || id=$session
    if ((json)); then
      report+='{"type":"hang","v":1,"id":"'$id'","session_id":"'$session'","pid":'$pid',"start_time":'$since'}'$'\n'
    else
      report+="$id hangs: $process waits for a page server that was killed; end it"$'\n'
    fi
  done <<<"$1"
}
