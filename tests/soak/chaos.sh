#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs flows of all verbs at once, in two stores that share a page server, while their processes are stopped, continued and
# killed at random, and while links and mounts appear in the stores. Checks everything after each round.
#
#   tests/soak/chaos.sh DIR SEED SECONDS
#
# DIR is empty and on a filesystem with reflink. Exit status 1: DIR/broken contains what is wrong, and after which flows. The
# choices depend only on the seed; the moment when a signal reaches its process does not.
set -uo pipefail
shopt -s nullglob

readonly here=${BASH_SOURCE[0]%/*}
dir=$(realpath "$1")
readonly dir
readonly PAGE=4096 FLOW_SECONDS=60
RANDOM=$2
seconds=$3
export SNAPFORK_PAGER=$dir/run/p.sock
unset SNAPFORK_LOCK_FD SNAPFORK_ROOT
exec {never}<> <(:) # to wait on

rounds=0 flows=0 signals=0 thrown=0
declare -A digest=() # "store/kind" -> digests that files of that kind may have

# shellcheck source=tests/soak/chaos_checks.bash
source "$here/chaos_checks.bash"

pause() { # <milliseconds at most>
  local delay
  printf -v delay '0.%03d' $((RANDOM % $1 + 1))
  read -rt "$delay" -u "$never"
}

pick() { # <word>...: sets `picked`
  picked=${!#}
  local at=$((RANDOM % $# + 1))
  picked=${!at}
}

# --- The two stores, the files outside them, and their inputs --------------------------------------------------

# The ids are the same in both stores; the contents differ.
make_stores() {
  local store n disk
  mkdir -p "$dir/host" "$dir/outside/deep" "$dir/run" "$dir/mounted" "$dir/canary/guests/t1/snapshots/snapshot-latest"
  for store in a b; do
    mkdir -m 0700 "$dir/$store"
    for n in 1 2; do
      { head -c $((100 * PAGE)) /dev/urandom && head -c $((156 * PAGE)) /dev/zero; } >"$dir/host/$store.t$n.memory"
      digest[$store / memory]+=" $(digest_of "$dir/host/$store.t$n.memory")"
    done
    head -c 1M /dev/urandom >"$dir/host/$store.disk"
    digest[$store / disk]=$(digest_of "$dir/host/$store.disk")
  done
  "$HELPERS/write-vmstate" "$dir/host/t1.state" 10.0.0 1
  "$HELPERS/write-vmstate" "$dir/host/t2.state" 10.0.0 1 "drive=$dir/host/disk.raw"
  : >"$dir/host/disk.raw"
  for store in a b; do
    for n in 1 2; do
      disk=(--disk "$dir/host/$store.disk=$dir/host/disk.raw")
      export SNAPFORK_ROOT=$dir/$store
      snapfork -q import "t$n" --state "$dir/host/t$n.state" --memory "$dir/host/$store.t$n.memory" "${disk[@]:0:$((n * 2 - 2))}"
      snapfork -q promote "t$n"
    done
  done
  unset SNAPFORK_ROOT
  # Files that no flow may change: outside the stores, behind the links, under the mounts.
  mkfifo "$dir/never"
  mount -t tmpfs -o size=1m chaos "$dir/mounted"
  printf 'outside\n' | tee "$dir"/{outside,outside/deep,mounted,canary}/{file,metadata.json,state} \
    "$dir"/canary/guests/t1/{metadata.json,snapshots/snapshot-latest/memory} >/dev/null
  chmod 0640 "$dir/outside/file"
  untouched >"$dir/untouched"
}

# --- Flows ---------------------------------------------------------------------------------------------------------

start() { # <store> <command...>
  local store=$1
  shift
  printf '%s: %s\n' "$store" "$*" >"$dir/flow/$rounds.$flow"
  CHAOS_FLOW=$rounds.$flow SNAPFORK_ROOT=$dir/$store setsid "$@" >"$dir/flow/$rounds.$flow.out" \
    2>"$dir/flow/$rounds.$flow.err" </dev/null {never}<&- &
  pids[flow]=$!
}

start_flow() {
  local store template guest fork
  pick a b && store=$picked
  pick t1 t2 && template=$picked
  pick f1 f2 f3 f4 && fork=$picked
  pick "$template" "$fork" && guest=$picked
  case $((RANDOM % 34)) in
    [0-3])
      local disk=()
      [[ $template == t1 ]] || disk=(--disk "$dir/host/$store.disk=$dir/host/disk.raw")
      start "$store" snapfork import "$template" --state "$dir/host/$template.state" \
        --memory "$dir/host/$store.$template.memory" "${disk[@]}"
      ;;
    [4-7]) start "$store" snapfork promote "$template" ;;
    8) start "$store" snapfork demote "$template" ;;
    9 | 1[0-3]) start "$store" snapfork fork --backend uffd "$template" "$fork" ;;
    14) start "$store" snapfork fork --backend file "$template" "$fork" ;;
    15) start "$store" snapfork fork --backend uffd -n 3 "$template" ;;
    16 | 17) pick f1 f2 f3 f4 && start "$store" snapfork fork --backend uffd "$fork" "$picked" ;;
    1[89] | 20) start "$store" snapfork run "$fork" -- "$here/chaos_vmm.sh" "$dir" "$store" "$fork" ;;
    21) start "$store" snapfork delete "$template" ;;
    22 | 23) start "$store" snapfork delete "$fork" ;;
    24 | 25) start "$store" snapfork delete --stop "$fork" "$([[ $fork == f1 ]] && echo f2 || echo f1)" ;; # no id twice
    26 | 27) start "$store" snapshot-meta fsck --repair ;;
    28) start "$store" snapshot-meta set "$guest" "Name=$guest-$rounds" Env.round:=$rounds ;;
    29) start "$store" template-lock seal "$guest" ;;
    30) start "$store" template-lock unseal "$guest" ;;
    31) start "$store" snapshot-meta purge "$fork" ;;
    32) start "$store" snapshot-meta verify --deep "$guest" ;;
    33) start "$store" snapfork status ;;
  esac
}

flow_pids() { # of this round, also without their parents; without the page server, which stays
  comm -23 <(grep -lzE "^CHAOS_FLOW=$rounds\.[0-9]+$" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | sort) <(server_pids | sort)
}

server_pids() { # the brackets prevent that grep finds itself
  grep -lzxE -- "${SNAPFORK_PAGER%?}[${SNAPFORK_PAGER: -1}]" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3
}

# Sends a signal to one process of the flows, sometimes to the page server.
signal_one() {
  local victims signal victim
  mapfile -t victims < <(flow_pids)
  ((RANDOM % 8)) || mapfile -t victims < <(server_pids)
  ((${#victims[@]})) || return 0
  pick "${victims[@]}" && victim=$picked
  pick STOP STOP STOP CONT CONT KILL TERM TERM && signal=$picked
  printf '%s %s (%s)\n' "$signal" "$victim" "$({ tr '\0' ' ' <"/proc/$victim/cmdline"; } 2>/dev/null)" >>"$dir/flow/$rounds.signals"
  ! kill "-$signal" "$victim" 2>/dev/null || ((++signals))
}

# --- Links and mounts --------------------------------------------------------------------------------------------

throw_in() {
  local store place
  pick a b && store=$dir/$picked
  [[ -d $store/.snapfork/tmp ]] || return 0
  pick guests/f1 guests/x guests/alias .snapfork/trash/f2 .snapfork/tmp/fork.f3 .snapfork/tmp/import.t1 .snapfork/locks/f4.lock \
    guests/f1/link guests/t2/link mount mount
  place=$store/$picked
  [[ ! -L ${place%/*} ]] || return 0 # what is behind the link is not part of the store
  case $picked in
    mount)
      pick f1 f2 t1 && place=$store/guests/$picked/data
      [[ ! -L ${place%/*} ]] || return 0
      mkdir "$place" 2>/dev/null && mount --bind "$dir/mounted" "$place" 2>/dev/null || return 0
      ;;
    guests/alias) ln -sn "$store/guests/t1" "$place" 2>/dev/null || return 0 ;;
    *.lock) ln -sn "$dir/outside/file" "$place" 2>/dev/null || return 0 ;;
    *) ln -sn "$dir/outside" "$place" 2>/dev/null || return 0 ;;
  esac
  ((++thrown))
  printf 'threw in %s\n' "$place" >>"$dir/flow/$rounds.signals"
}

# Unmounts them wherever flows have moved them.
take_out() {
  local place
  while IFS= read -r place; do umount "$place"; done < <(grep -oE " $dir/[ab]/[^ ]+" /proc/self/mountinfo | tr -d ' ')
  find "$dir"/[ab] \( -type l -lname "$dir/*" -o -type d -name data -empty \) -delete
}

# --- A round -----------------------------------------------------------------------------------------------------------

all_flows_ended() {
  local pid
  for pid in "${pids[@]}"; do ! kill -0 "$pid" 2>/dev/null || return 1; done
}

await() { # <seconds> <command...>
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    read -rt 0.02 -u "$never"
  done
  return 0 # and not that of read
}

go_on() {
  local pids
  mapfile -t pids < <(flow_pids && server_pids)
  ((!${#pids[@]})) || kill -CONT "${pids[@]}" 2>/dev/null
}

no_flow_process() {
  go_on
  [[ -z $(flow_pids) ]]
}

# Prints the processes of chaos_vmm.sh, also those that executed another program.
end_vmms() {
  local vmms
  mapfile -t vmms < <(grep -lzxF CHAOS_VMM=1 /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3)
  ((!${#vmms[@]})) || kill -KILL "${vmms[@]}" 2>/dev/null
}

all_flows_and_vmms_ended() {
  end_vmms
  all_flows_ended
}

round() {
  local flow count window pids=() status
  ((++rounds))
  while ((RANDOM % 3 == 0)); do throw_in; done
  count=$((RANDOM % 4 + 2)) window=$((RANDOM % 12))
  for ((flow = 0; flow < count; flow++)); do
    start_flow
    ((RANDOM % 2)) || pause 60
  done
  for (( ; window > 0; window--)); do
    pause 40
    signal_one
    ((RANDOM % 6)) || throw_in
  done
  go_on
  # VMMs run until a flow ends them, or until now.
  await 1 all_flows_ended
  await "$FLOW_SECONDS" all_flows_and_vmms_ended || broken "a flow hangs: $(ps -o pid,stat,wchan:20,args -p "$(flow_pids | paste -sd,)")"
  for ((flow = 0; flow < count; flow++)); do
    status=0
    wait "${pids[flow]}" || status=$?
    ((++flows))
    printf 'status %s\n' "$status" >>"$dir/flow/$rounds.$flow"
    check_flow "$flow" "$status"
  done
  await 30 no_flow_process || broken "a process is left: $(ps -o pid,stat,args -p "$(flow_pids | paste -sd,)")"
  take_out
  check_untouched
  check_store a
  check_store b
  ((rounds % 5)) || check_served
}

report() {
  local file
  printf 'chaos: round %d: %s\n' "$rounds" "$(<"$dir/broken")"
  for file in "$dir/flow/$rounds".*; do
    printf -- '--- %s\n' "${file##*/}"
    head -c 2000 "$file"
  done
}

clean_up() {
  local pids
  go_on
  end_vmms
  mapfile -t pids < <(flow_pids && server_pids)
  ((!${#pids[@]})) || kill -KILL "${pids[@]}" 2>/dev/null
  take_out
  umount "$dir/mounted" 2>/dev/null
}

main() {
  local end=$((SECONDS + seconds))
  trap clean_up EXIT
  mkdir "$dir/flow"
  make_stores
  while ((SECONDS < end)) && [[ ! -e $dir/broken ]]; do
    rm -f "$dir/flow/$((rounds - 3))".*
    round
  done
  [[ -e $dir/broken ]] || empty_stores
  if [[ -e $dir/broken ]]; then
    report
    return 1
  fi
  printf 'chaos: %d rounds, %d flows, %d signals, %d links and mounts: nothing wrong\n' "$rounds" "$flows" "$signals" "$thrown"
}

main
