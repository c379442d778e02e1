#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One process of the storm: storm_worker.bash NUMBER SEED SECONDS DIR. Runs random flows on the templates t1 to t5, whose
# memory is DIR/memory.1 to 5, and kills some of them. At each step it checks its own forks: no other process deletes them,
# so each of them, and its template, must exist unchanged. It writes failures to DIR/broken.
set -uo pipefail

readonly number=$1 seconds=$3 dir=$4
RANDOM=$2
declare -A own=()     # fork -> number of its template
declare -A digests=() # number -> digest of its memory
made=0 operations=0 killed=0 taken=0
exec {never}<> <(:) # to wait on

guests=$SNAPFORK_ROOT/guests
log() { printf '%s %s: %s\n' "$EPOCHREALTIME" "$number" "$*" >>"$dir/log.$number"; }
broken() {
  log "BROKEN $*"
  printf 'process %s: %s\n' "$number" "$*" >>"$dir/broken"
}

# Runs a command. One in three is killed within 60 ms, its driver alone or with all processes that it has started.
attempt() { # <id to wait for> <command...>: sets `status`; 137 when it was killed
  local id=$1 pid victim='' delay
  shift
  setsid "$@" >"$dir/output.$number" 2>&1 </dev/null {never}<&- &
  pid=$!
  if ((RANDOM % 3 == 0)); then
    printf -v delay '0.%03d' $((RANDOM % 60))
    read -rt "$delay" -u "$never"
    victim=$pid
    ((RANDOM % 2)) && victim=-$pid
    kill -KILL -- "$victim" 2>/dev/null && ((++killed))
  fi
  status=0
  wait "$pid" 2>/dev/null || status=$?
  ((++operations))
  log "$* -> $status ${victim:+(killed $victim)} $(head -c 300 "$dir/output.$number" | tr '\n' ' ')"
  # Processes that still run hold the lock until they end.
  [[ -z $victim || -z $id ]] || template-lock wait --timeout 30 "$id" || broken "the lock on $id stays"
  case $status in
    0 | 1 | 137) ;;
    *) broken "$* ended with $status: $(<"$dir/output.$number")" ;;
  esac
}

check_own() {
  local fork template memory
  for fork in "${!own[@]}"; do
    template=t${own[$fork]}
    memory=$guests/$fork/snapshots/snapshot-latest/memory
    [[ $(<"$guests/$fork/metadata.json") == *"\"ForkOfTemplate\": \"$template\""* ]] || broken "$fork is gone"
    [[ $(<"$guests/$template/metadata.json") == *'"IsTemplate": true'* ]] || broken "$template is none, and $fork lives"
    [[ $memory -ef $guests/$template/snapshots/snapshot-latest/memory ]] || broken "$template has another memory than $fork"
    [[ $(sha256sum <"$memory") == "${digests[${own[$fork]}]}" ]] || broken "the memory of $fork is not what it was"
  done 2>/dev/null
}

# Whether a fork of this process has that template, which then must not be removed.
has_own() { # <number>
  [[ " ${own[*]} " == *" $1 "* ]]
}

fork_one() { # <number>
  local new=t$1-$number-$((++made))
  attempt "$new" snapfork -q fork --backend file "t$1" "$new"
  # If the command was killed, the fork may exist or not. If it exists, it belongs to this process.
  if [[ -e $guests/$new ]]; then
    # The fork of a guest that is no longer a template is an ordinary copy.
    if [[ $(<"$guests/$new/metadata.json") == *"\"ForkOfTemplate\": \"t$1\""* ]]; then own[$new]=$1; fi
  elif ((status == 0)); then
    broken "$new was reported and is not there"
  fi
}

delete_one() {
  local fork
  for fork in "${!own[@]}"; do
    unset "own[$fork]" # from here on it may not exist
    attempt "$fork" snapfork -q delete "$fork"
    [[ ! -e $guests/$fork ]] || snapfork -q delete "$fork" 2>>"$dir/log.$number" || [[ ! -e $guests/$fork ]] \
      || log "$fork is left"
    return
  done
}

take_away() { # <verb> <number>
  attempt "t$2" snapfork -q "$1" "t$2"
  if ((status == 0)); then
    ((++taken))
    ! has_own "$2" || broken "$1 t$2 was done, and a fork of it lives"
  fi
}

step() {
  local n=$((RANDOM % 5 + 1))
  case $((RANDOM % 12)) in
    # With few forks each, some templates have no fork; only these may be removed.
    0 | 1 | 2 | 3) if ((${#own[@]} < 2)); then fork_one "$n"; else delete_one; fi ;;
    4 | 5 | 6) delete_one ;;
    7) take_away demote "$n" ;;
    8) take_away delete "$n" ;;
    9 | 10)
      if [[ -e $guests/t$n ]]; then
        attempt "t$n" snapfork -q promote "t$n"
      else
        attempt "t$n" snapfork -q import "t$n" --state "$dir/state" --memory "$dir/memory.$n"
      fi
      ;;
    11) attempt '' snapshot-meta fsck --repair ;;
  esac
}

main() {
  local n end=$((SECONDS + seconds))
  for n in 1 2 3 4 5; do digests[$n]=$(sha256sum <"$dir/memory.$n"); done
  while ((SECONDS < end)) && [[ ! -e $dir/broken ]]; do
    step
    check_own
  done
  printf '%d %d %d %d %d\n' "$operations" "$killed" "$made" "$taken" "${#own[@]}" >"$dir/done.$number"
}

main
