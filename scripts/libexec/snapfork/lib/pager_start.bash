# SPDX-License-Identifier: Apache-2.0
# pager_start.bash: starts a page server, under a keeper, that inherits nothing from its starter. Read only if none serves.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

pager_timeout=10        # seconds that a page server may take to start
most_descriptors=524288 # of a page server, as systemd gives to services

# Becomes the page server: a daemon that exits with its last session, and that serves guests of other callers, too. So it
# inherits nothing from its starter: no lock, no descriptor but its log and the one for readiness, no variable, limit,
# priority or cgroup that would end it or slow it down.
become_pager() { # without traps: it runs in a subshell
  local path fd
  for path in /proc/self/fd/*; do
    fd=${path##*/}
    if ((fd > 2 && fd != log)); then exec {fd}>&-; fi
  done
  cd /
  umask 077
  set +e # a setting that may not be changed stays as it is
  leave_cgroups
  reset_limits
  exec 3>&1 1>&"$log" 2>&1 </dev/null {log}>&-
  exec "${daemon_call[@]}"
}

# Enters the cgroup "snapfork" beside each of our cgroups except the root, where that is permitted. The end of a job or of
# a service ends all processes in its cgroup.
leave_cgroups() { # without traps: part of become_pager
  local id controllers path mount target setting line
  while IFS=: read -r id controllers path; do
    [[ $path != / && ${path##*/} != snapfork ]] || continue
    while read -r line; do
      # 35 24 0:30 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
      [[ $line == *" - cgroup2 "* && -z $controllers ]] \
        || [[ -n $controllers && $line == *" - cgroup "* && ",${line##* }," == *",$controllers,"* ]] || continue
      read -r _ _ _ _ mount _ <<<"$line"
      target=$mount${path%/*}/snapfork
      [[ -d $target ]] || mkdir -- "$target" || continue
      for setting in cpuset.cpus cpuset.mems; do
        # A cpuset (v1) without processors or memory nodes accepts no process.
        [[ ! -e $target/$setting || -n $(<"$target/$setting") ]] \
          || printf '%s' "$(<"$mount${path%/*}/$setting")" >"$target/$setting" || true
      done
      printf '%s\n' "$BASHPID" >"$target/cgroup.procs" || continue
      break
    done </proc/self/mountinfo
  done <<<"$(</proc/self/cgroup)" # read once: it changes with each step
} 2>/dev/null

reset_limits() { # without traps: part of become_pager
  local limit
  for limit in d f l m t v u; do
    ulimit -H "-$limit" unlimited || true
    ulimit -S "-$limit" "$(ulimit -H "-$limit")" || true
  done
  # The server raises its soft limit of descriptors itself.
  [[ $(ulimit -H -n) == unlimited || $(ulimit -H -n) -ge $most_descriptors ]] || ulimit -H -n "$most_descriptors" || true
  ulimit -c 0 || true # a core dump would have memory of guests
  renice -n 0 -p "$BASHPID" >/dev/null || true
  chrt --other --pid 0 "$BASHPID" || true
  { printf -- '-900' >/proc/self/oom_score_adj; } || { printf 0 >/proc/self/oom_score_adj; } || true
} 2>/dev/null

# Opens a regular file of the run directory for appending, and refuses a link. Only this user may write to the directory,
# so no other user can replace the file between the check and the open.
open_in_run_dir() { # <variable for the descriptor> <name>
  local path=$run_dir/$2 mode
  [[ -d $run_dir ]] || (umask 077 && mkdir -p -- "$run_dir") || exit 5
  ask mode stat --format='%F %u %a' -- "$run_dir" || exit 5
  [[ $mode == "directory $EUID "*([0-7])[0145][0145] ]] \
    || fail 5 "cannot use the run directory '$run_dir': others can write there, or it is not yours; set SNAPFORK_PAGER to a path in a directory of mode 700"
  [[ ! -L $path && (! -e $path || -f $path) ]] || fail 5 "cannot open '$path': it is not a regular file"
  # The log has the paths and process ids of all guests.
  { (umask 077 && : >>"$path") && exec {opened}>>"$path"; } 2>/dev/null || fail 5 "cannot open '$path': no permission to write there"
  printf -v "$1" '%s' "$opened"
}

# Starts a page server and waits until it serves. Returns 1 if it ends before that, or needs too long.
start_and_wait() {
  local ready pipe status=0
  open_pipe ready
  exec {pipe}>"/dev/fd/$ready"
  become_pager >&"$pipe" &
  disown # bash would print that it was killed
  exec {pipe}>&-
  read -r -t "$pager_timeout" -u "$ready" || status=1
  exec {ready}<&-
  return "$status"
}

# Sets `server_call`, which serves, and `daemon_call`, which runs it without what it would inherit. Under a keeper, guests
# survive the death of the server.
find_daemon_call() {
  local option
  server_call=(uffd-keeper --)
  [[ ${SNAPFORK_KEEPER-} != 0 ]] || server_call=(uffd-serve)
  server_call+=(--control "$pager" --exit-when-idle)
  daemon_call=(setsid env -i --default-signal --ignore-signal=HUP "PATH=$PATH" LANG=C)
  # For a build with sanitizers, or with libraries in a directory of their own.
  for option in LD_LIBRARY_PATH ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS; do
    [[ -z ${!option-} ]] || daemon_call+=("$option=${!option}")
  done
  daemon_call+=("${server_call[@]}" --ready-fd 3)
}

# Starts a page server unless one serves. Of two starters, the second waits and finds the server of the first.
start_one() {
  local lock log logged said daemon directory log_file opened server_call daemon_call
  find_daemon_call
  if ((dry_run)); then
    printf -v daemon ' %q' "${daemon_call[@]}"
    # The server closes the locks that it inherits.
    daemon=${daemon/ LANG=C/" LANG=C \"SNAPFORK_LOCK_FD=\$SNAPFORK_LOCK_FD\""}
    printf -v directory %q "$run_dir"
    printf -v log_file %q "$run_dir/pager.log"
    plan_line "mkdir -p -m 700 $directory"
    plan_line "read -r < <(cd / && exec$daemon 3>&1 </dev/null >>$log_file 2>&1)"
    return
  fi
  check_programs flock setsid
  after='&' show "${server_call[@]}"
  open_in_run_dir lock start.lock
  open_in_run_dir log pager.log
  ask logged stat --format=%s -- "$run_dir/pager.log" || exit 5
  attend flock --timeout "$pager_timeout" "$lock" \
    || fail 5 "a page server has been starting for $pager_timeout s: see 'fuser $run_dir/start.lock'"
  if ! pager_serves && ! start_and_wait && ! pager_serves; then
    ask said tail -c "+$((logged + 1))" -- "$run_dir/pager.log"
    said=${said##*$'\n'}
    fail 5 "no page server came up at '$pager'${said:+: $said}; see '$run_dir/pager.log'"
  fi
  exec {lock}>&- {log}>&-
}
