# SPDX-License-Identifier: Apache-2.0
# pager.bash: the page server: where it is, its start, and its sessions.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly pager_patience=10       # seconds that a page server may take to start
readonly answer_patience=5       # seconds that it may take to answer
readonly most_descriptors=524288 # of a page server, as systemd gives to services

# Sets `pager`, `run_dir` and `daemon_call`, with absolute paths: the page server works elsewhere.
find_pager() {
  local option
  pager='' run_dir=''
  pager=${SNAPFORK_PAGER-}
  if [[ -z $pager && $EUID == 0 ]]; then
    pager=/run/snapfork/pager.sock
  elif [[ -z $pager && -n ${XDG_RUNTIME_DIR-} ]]; then
    pager=$XDG_RUNTIME_DIR/snapfork/pager.sock
  elif [[ -z $pager ]]; then
    return # see require_run_dir
  fi
  [[ $pager == /* ]] || pager=$PWD/$pager
  run_dir=${pager%/*}
  daemon_call=(setsid env -i --default-signal --ignore-signal=HUP "PATH=$PATH" LANG=C)
  # For a build with sanitizers, or one whose libraries are in a place of their own.
  for option in LD_LIBRARY_PATH ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS; do
    [[ -z ${!option-} ]] || daemon_call+=("$option=${!option}")
  done
  daemon_call+=(uffd-serve --control "$pager" --exit-when-idle --ready-fd 3)
}

require_run_dir() { # <what for>
  [[ -n $run_dir ]] || fail 5 "cannot $1: no run directory for a page server; set XDG_RUNTIME_DIR or SNAPFORK_PAGER, or give --backend file"
}

check_socket_path() { # <path>
  local LC_ALL=C
  ((${#1} <= 107)) || usage_error \
    "the socket path '$1' has ${#1} bytes, and 107 are the most: set SNAPFORK_PAGER to a shorter one"
}

# Sets `health` to the server's answer. 1: there is none; 5: it does not answer, which is in `health`.
ask_health() {
  local status=0
  health=''
  [[ -S $pager ]] || return 1
  ask health all_of uffd-ctl --control "$pager" --timeout "$answer_patience" health || status=$?
  return "$status"
}

all_of() { # <command...>
  exec "$@" 2>&1
}

# Fails when a server is there and silent: a second one cannot take its place.
pager_serves() {
  local status=0 health
  ask_health || status=$?
  ((status != 5)) || fail 5 "${health#*: }"
  return "$status"
}

# The process that becomes the page server: a daemon that leaves when it has no session left, and that
# serves guests of others, too. So it has nothing of its starter: no lock, no descriptor but its log and
# that for readiness, no variable, limit, priority or cgroup that would end it or slow it down.
become_pager() {
  local path fd
  for path in /proc/self/fd/*; do
    fd=${path##*/}
    if ((fd > 2 && fd != log)); then exec {fd}>&-; fi
  done
  cd /
  umask 077
  set +e # what is not permitted is left as it is
  leave_cgroups
  reset_limits
  exec 3>&1 1>&"$log" 2>&1 </dev/null {log}>&-
  exec "${daemon_call[@]}"
}

# Into the cgroup "snapfork" beside each cgroup of ours but the topmost, where that is permitted: the end of
# a job or of a service ends what is in its cgroup.
leave_cgroups() {
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
        # An empty cpuset (v1) takes no process.
        [[ ! -e $target/$setting || -n $(<"$target/$setting") ]] \
          || printf '%s' "$(<"$mount${path%/*}/$setting")" >"$target/$setting" || true
      done
      printf '%s\n' "$BASHPID" >"$target/cgroup.procs" || continue
      break
    done </proc/self/mountinfo
  done <<<"$(</proc/self/cgroup)" # which changes with each step
} 2>/dev/null

reset_limits() {
  local limit
  for limit in d f l m t v u; do
    ulimit -H "-$limit" unlimited || true
    ulimit -S "-$limit" "$(ulimit -H "-$limit")" || true
  done
  # The server raises the soft limit of descriptors by itself.
  [[ $(ulimit -H -n) == unlimited || $(ulimit -H -n) -ge $most_descriptors ]] || ulimit -H -n "$most_descriptors" || true
  ulimit -c 0 || true # its memory is that of guests
  renice -n 0 -p "$BASHPID" >/dev/null || true
  chrt --other --pid 0 "$BASHPID" || true
  { printf -- '-900' >/proc/self/oom_score_adj; } || { printf 0 >/proc/self/oom_score_adj; } || true
} 2>/dev/null

# Opens a file of the run directory for appending, and no link and nothing but a file. The directory must
# be ours alone; then nobody else can put anything there between the look and the opening.
open_in_run_dir() { # <variable for the descriptor> <name>
  local path=$run_dir/$2 mode mask
  [[ -d $run_dir ]] || (umask 077 && mkdir -p -- "$run_dir") || exit 5
  read -r mode < <(stat --format='%F %u %a' -- "$run_dir")
  [[ $mode == "directory $EUID "*([0-7])[0145][0145] ]] \
    || fail 5 "cannot use the run directory '$run_dir': others can write there, or it is not yours; set SNAPFORK_PAGER to a path in a directory of mode 700"
  [[ ! -L $path && (! -e $path || -f $path) ]] || fail 5 "cannot open '$path': it is not a regular file"
  mask=$(umask)
  umask 077 # the log has paths and process numbers of all guests
  { exec {opened}>>"$path"; } 2>/dev/null || fail 5 "cannot open '$path': no permission to write there"
  umask "$mask"
  printf -v "$1" '%s' "$opened"
}

# Starts a page server unless one serves. Of two starters the second waits, and finds the first one's.
start_pager() {
  local lock log logged said daemon opened
  if ((dry_run)); then
    printf -v daemon ' %q' "${daemon_call[@]}"
    # It closes the locks that it inherits.
    daemon=${daemon/ LANG=C/" LANG=C \"SNAPFORK_LOCK_FD=\$SNAPFORK_LOCK_FD\""}
    plan_line "mkdir -p -m 700 $(printf %q "$run_dir")"
    plan_line "read -r < <(cd / && exec$daemon 3>&1 </dev/null >>$(printf %q "$run_dir/pager.log") 2>&1)"
    return
  fi
  after='&' show uffd-serve --control "$pager" --exit-when-idle
  open_in_run_dir lock start.lock
  open_in_run_dir log pager.log
  logged=$(stat --format=%s -- "$run_dir/pager.log")
  attend flock --timeout "$pager_patience" "$lock" \
    || fail 5 "a page server has been starting for $pager_patience s: see 'fuser $run_dir/start.lock'"
  if ! pager_serves && ! read -r -t "$pager_patience" < <(become_pager) && ! pager_serves; then
    said=$(tail -c "+$((logged + 1))" -- "$run_dir/pager.log" | tail -n 1)
    fail 5 "no page server came up at '$pager'${said:+: $said}; see '$run_dir/pager.log'"
  fi
  exec {lock}>&- {log}>&-
}

# Sessions with the ids of their forks. A server that leaves just now is replaced: tried again.
create_sessions() { # <options of `uffd-ctl create`, ID=MEMORY...>
  local call=(uffd-ctl --control "$pager" create "$@") said='' status attempt
  for attempt in 1 2 3; do
    if [[ ! -S $pager ]] || ((attempt > 1)); then start_pager; fi
    show "${call[@]}"
    ((!dry_run)) || return 0
    status=0
    ask said messages_of "${call[@]}" || status=$?
    ((status == 1)) || break
  done
  [[ -z $said ]] || printf '%s\n' "$said" >&2
  return "$status"
}

messages_of() { # <command...>
  # shellcheck disable=SC2069 # not its standard output
  exec "$@" 2>&1 >/dev/null
}

# Sets `session` to the name of a guest's session: another store's guest of this id has another one.
name_session() { # <id>
  ask session snapshot-meta session-name "$1"
}

name_sessions() { # <id...>: sets `sessions`
  local names
  ask names snapshot-meta session-name "$@"
  mapfile -t sessions <<<"$names"
}

has_session() { # <id>
  local session
  name_session "$1" && session_exists "$session"
}

session_exists() { # <session>
  attend uffd-ctl --control "$pager" session "$1" >/dev/null 2>&1
}

# For a guest that does not run. What a killed page server has left of the session goes, too.
close_session() { # <id>
  local session
  [[ -n $run_dir ]] || return 0
  name_session "$1"
  if [[ ! -S $pager && ! -e $run_dir/s/$session.sock && ! -e $run_dir/s/$session.vmm ]]; then return; fi
  if step uffd-ctl --control "$pager" close "$session" 2>/dev/null; then
    # What a server that was killed has recorded of the guest, which has ended.
    if ((dry_run)) || session_exists "$session"; then return; fi
  elif session_exists "$session"; then
    fail 5 "cannot close the session of '$1' at '$pager'; try again"
  fi
  step rm -f -- "$run_dir/s/$session.sock" "$run_dir/s/$session.vmm"
}

find_pager
