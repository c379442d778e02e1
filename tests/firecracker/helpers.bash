# SPDX-License-Identifier: Apache-2.0
# helpers.bash: a real, unmodified Firecracker in a test, with the guest of tests/guest in it.
#
# FIRECRACKER is the path of the program (default: `firecracker` on the PATH). FIRECRACKER_ARGS are its first arguments, by
# default --no-seccomp: a Firecracker that was not built for musl is killed by its own filters at some system call, which
# may come late. These tests check the other side of Firecracker's sockets, so the filters do not matter.
#
# A virtual machine has a name; its files are in $BATS_TEST_TMPDIR/vm/NAME. A running guest uses a whole CPU: pause or
# kill guests that are not needed. Functions that start one must not be called in $(...) or by `run`, or the teardown
# does not kill it.
# shellcheck shell=bash

bats_require_minimum_version 1.5.0
# shellcheck source=tests/wait_until.bash
source "${BASH_SOURCE[0]%/*}/../wait_until.bash"

readonly ANSWER_SECONDS=60 # for each answer; most take milliseconds

declare -gA vm_pid=() vm_console=() vm_log=()

fail() {
  printf '%s\n' "$@" >&2
  return 1
}

# Skips the file if this machine lacks what it needs; sets firecracker, firecracker_args and guest.
require_firecracker() {
  firecracker=${FIRECRACKER:-$(command -v firecracker || true)}
  [[ -n $firecracker ]] || skip 'FIRECRACKER is not set and there is no firecracker on the PATH'
  [[ -x $firecracker ]] || skip "FIRECRACKER: '$firecracker' is not a program"
  [[ -r /dev/kvm && -w /dev/kvm ]] || skip '/dev/kvm cannot be opened'
  guest=$HELPERS/guest.elf
  [[ -e $guest ]] || skip "there is no guest for this machine: '$guest'"
  firecracker=$(realpath "$firecracker")
  read -ra firecracker_args <<<"${FIRECRACKER_ARGS---no-seccomp}"
}

vm_dir() { # <vm>
  printf '%s\n' "$BATS_TEST_TMPDIR/vm/$1"
}

# Prints the first line of a descriptor that matches; fails if <pid> ends or at the time limit.
await_line() { # <descriptor> <glob> <pid>
  local descriptor=$1 glob=$2 pid=$3 line='' part seen='' status
  local end=$((SECONDS + ANSWER_SECONDS))
  while ((SECONDS < end)); do
    status=0
    IFS= read -r -t 1 -u "$descriptor" part || status=$?
    line+=$part
    if ((status == 0)); then
      # shellcheck disable=SC2053 # a pattern
      if [[ $line == $glob ]]; then
        printf '%s\n' "$line"
        return
      fi
      seen+="$line"$'\n'
      line=''
    elif ((status <= 128)) || ! kill -0 "$pid" 2>/dev/null; then
      fail "process $pid ended before it said '$glob'; it said:" "$seen$line"
      return
    fi
  done
  fail "no '$glob' within $ANSWER_SECONDS s, but:" "$seen$line"
}

# Starts Firecracker, behind the given wrapper if any; returns when its API answers.
vm_start() { # <vm> [wrapper...]
  local vm=$1 dir input output log config=()
  shift
  dir=$(vm_dir "$vm")
  mkdir -p "$dir"
  rm -f "$dir"/{input,log,api.sock}
  mkfifo "$dir/input" "$dir/log"
  [[ ! -e $dir/config.json ]] || config=(--config-file "$dir/config.json")
  # Firecracker reads its standard input in the thread that serves the API, so it must not block and must not end: a FIFO
  # that is open for reading and writing. dd sets O_NONBLOCK.
  exec {input}<>"$dir/input" {log}<>"$dir/log"
  dd iflag=nonblock count=0 status=none <&"$input"
  exec {output}< <(exec "$@" "$firecracker" "${firecracker_args[@]}" --id "$vm" \
    --api-sock "$dir/api.sock" --log-path "$dir/log" --level Info "${config[@]}" \
    <&"$input" 2>&1 3>&- 4>&-)
  vm_pid[$vm]=$! vm_console[$vm]=$output vm_log[$vm]=$log
  exec {input}>&-
  await_line "$log" '*API server started.' "$!" >/dev/null
}

# Makes one call; prints the body of the reply, and fails unless it succeeded.
vm_api() { # <vm> <method> <path> [json]
  fc-api --timeout 120 "$(vm_dir "$1")/api.sock" "${@:2}"
}

# Boots the guest and waits until it has filled its memory; its first line is in $ready.
vm_boot() { # <vm> <MiB> <boot arguments> [json: more of the configuration]
  local vm=$1 mib=$2 boot_args=$3 more=${4:-'{}'} dir
  dir=$(vm_dir "$vm")
  mkdir -p "$dir"
  jq -n --arg kernel "$guest" --arg boot_args "console=ttyS0 $boot_args" --argjson mib "$mib" \
    --argjson more "$more" '{
      "boot-source": {kernel_image_path: $kernel, boot_args: $boot_args},
      "machine-config": {vcpu_count: 1, mem_size_mib: $mib}, drives: []} + $more' \
    >"$dir/config.json"
  vm_start "$vm"
  # shellcheck disable=SC2034 # for the tests
  ready=$(vm_hear "$vm" 'READY *')
}

# Prints the next line of the guest that matches.
vm_hear() { # <vm> <glob>
  await_line "${vm_console[$1]}" "$2" "${vm_pid[$1]}"
}

# Sends a line to the guest and prints the answer.
vm_ask() { # <vm> <line>
  local verb=${2%% *}
  [[ $verb != ping ]] || verb=pong
  printf '%s\n' "$2" >"$(vm_dir "$1")/input"
  vm_hear "$1" "$verb*"
}

vm_pause() { # <vm>
  vm_api "$1" PATCH /vm '{"state":"Paused"}'
}

vm_resume() { # <vm>
  vm_api "$1" PATCH /vm '{"state":"Resumed"}'
}

# Makes a snapshot of a paused guest: DIR/state and DIR/memory.
vm_snapshot() { # <vm> <dir> [Full|Diff]
  mkdir -p "$2"
  vm_api "$1" PUT /snapshot/create "$(jq -nc --arg dir "$2" --arg type "${3:-Full}" \
    '{snapshot_type: $type, snapshot_path: "\($dir)/state", mem_file_path: "\($dir)/memory"}')"
}

# Boots a guest with 128 MiB, lets it work briefly, and makes its snapshot in DIR; $sum is its sum.
take_snapshot() { # <dir> <boot arguments> [json: more of the configuration]
  vm_boot source 128 "${@:2}"
  vm_ask source 'work 9 500' >/dev/null
  # shellcheck disable=SC2034 # for the tests
  sum=$(vm_ask source sum)
  vm_pause source
  vm_snapshot source "$1"
  vm_kill source
}

# Prints the body for a restore with Firecracker's own File back end.
load_from_files() { # <state> <memory>
  jq -nc --arg state "$1" --arg memory "$2" '{snapshot_path: $state, resume_vm: true,
    mem_backend: {backend_type: "File", backend_path: $memory}}'
}

# Starts a new Firecracker, loads a snapshot, and resumes it.
vm_restore() { # <vm> <load body> [wrapper...]
  local vm=$1 body=$2
  shift 2
  rm -f "$(vm_dir "$vm")/config.json"
  vm_start "$vm" "$@"
  vm_api "$vm" PUT /snapshot/load "$body"
}

vm_kill() { # <vm>...
  local vm console log
  for vm in "$@"; do
    console=${vm_console[$vm]} log=${vm_log[$vm]}
    kill -KILL "${vm_pid[$vm]}" 2>/dev/null || true
    # Its console ends with its last process.
    while IFS= read -r -t "$ANSWER_SECONDS" -u "$console" _; do :; done
    exec {console}<&- {log}>&-
    # The kernel closes its descriptors shortly before the process has ended.
    wait_until "$ANSWER_SECONDS" vm_has_ended "${vm_pid[$vm]}"
    unset "vm_pid[$vm]" "vm_console[$vm]" "vm_log[$vm]"
  done
}

vm_has_ended() { # <pid>: it is gone, or a zombie
  ! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"
}

vm_kill_all() {
  vm_kill "${!vm_pid[@]}"
}
