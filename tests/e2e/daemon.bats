#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The page server that the driver starts inherits nothing from its starter, and `snapfork status` reports it.
# shellcheck disable=SC2016,SC2154,SC2030,SC2031 # of other shells; stderr is set by run

load helpers

setup() {
  require_root
  make_store xfs
  make_template
}

teardown() {
  drop_store
  [[ ! -v job ]] || rmdir "$job" || true
}

kill_server() {
  kill -KILL "$(pager_pids)"
  wait_until 10 no_pager
}

@test "page server does not inherit environment, limits, priority, session, directory or OOM score" {
  env RUNNER_TRACKING_ID=github_1 SECRET_TOKEN=hunter2 nice -n 19 bash -c '
    ulimit -S -v 8000000 -t 100000
    echo 500 >/proc/self/oom_score_adj
    cd "$0" && exec snapfork -q fork --backend uffd base f' "$BATS_TEST_TMPDIR" >/dev/null 3>&- 4>&-
  local pid keeper
  keeper=$(uffd-ctl health | jq .keeper.pid)
  for pid in "$keeper" "$(serving_pid)"; do
    tr '\0' '\n' <"/proc/$pid/environ" | grep -Ev '^(PATH|LANG|LD_LIBRARY_PATH|[A-Z]*SAN_OPTIONS)=' >"$BATS_TEST_TMPDIR/environment" || true
    assert_equal "$(<"$BATS_TEST_TMPDIR/environment")" ''
    assert_equal "$(ps -o ni= -p "$pid" | tr -d ' ')" 0
    assert_equal "$(ps -o sid= -p "$pid" | tr -d ' ')" "$keeper"
    assert_equal "$(readlink "/proc/$pid/cwd")" /
    (($(<"/proc/$pid/oom_score_adj") <= 0))
    run -0 awk '/Max (address space|cpu time)/ { print $(NF - 2), $(NF - 1) }' "/proc/$pid/limits"
    assert_equal "$output" $'unlimited unlimited\nunlimited unlimited'
    # SIGINT is not ignored, as it is in a background job of a shell.
    (((0x$(awk '/^SigIgn/ { print $2 }' "/proc/$pid/status") & 2) == 0))
  done
}

@test "page server survives a hang-up and the end of the job that started it" {
  # Kill as a CI runner does: every process with the variable, then the whole process group.
  RUNNER_TRACKING_ID=job-1 setsid --wait snapfork -q fork --backend uffd base f >"$BATS_TEST_TMPDIR/record" 3>&- 4>&-
  local pids file
  mapfile -t pids < <(pager_pids)
  for file in /proc/[0-9]*/environ; do
    ! tr '\0' '\n' <"$file" 2>/dev/null | grep -qx RUNNER_TRACKING_ID=job-1 || fail "$file has the variable of the job"
  done
  kill -HUP "${pids[@]}"
  run -0 uffd-probe --socket "$(jq -r .uffd_socket_path "$BATS_TEST_TMPDIR/record")" --mem "$SNAPSHOT/memory" --pages 1000 --json
  assert_equal "$(field 'select(.type == "summary") | .wrong_pages')" 0
}

@test "teardown of a test kills no page server of another test" {
  export SNAPFORK_KEEPER=0 # one process
  local pid
  snapfork -q fork --backend uffd base f >/dev/null
  pid=$(pager_pids)
  assert_equal "$(SNAPFORK_PAGER='' pager_pids)" ''
  assert_equal "$(SNAPFORK_PAGER=${SNAPFORK_PAGER%k} pager_pids)" ''
  assert_equal "$(pager_pids)" "$pid"
}

@test "page server leaves the cgroup of the job" {
  local mount
  mount=$(awk '$(NF - 2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
  job=$mount/snapfork-test-$$/job
  mkdir -p "$job" 2>/dev/null || skip 'no cgroup can be made here'
  bash -c 'echo $$ >"$0/cgroup.procs" && exec snapfork -q fork --backend uffd base f' "$job" >/dev/null 3>&- 4>&- \
    || skip 'no process can be moved into a cgroup here'
  assert_equal "$(<"$job/cgroup.procs")" ''
  local pid
  for pid in $(pager_pids); do
    [[ $(<"/proc/$pid/cgroup") != *"0::${job#"$mount"}"* ]] || fail "process $pid is in the cgroup of the job"
  done
  run -0 snapfork status
  refute_contains "$output" 'in the cgroup'
  snapfork -q delete f
  wait_until 10 no_pager
  rmdir "$job" "${job%/job}/snapfork"
  job=${job%/job}
}

@test "status names the process, user and version of the server, and warns of another version" {
  snapfork -q fork --backend uffd base f >/dev/null
  run -0 --separate-stderr snapfork status
  assert_contains "$output" "page server at $SNAPFORK_PAGER: process $(serving_pid) of user root, version "
  assert_contains "$output" "$(snapshot-meta session-name f)"$'\twaiting'
  assert_equal "$stderr" ''
  run -0 --separate-stderr snapfork --json status
  assert_equal "$(field 'select(.type == "page_server") | [.state, .pid, .user] | @csv')" "\"serves\",$(serving_pid),\"root\""
  assert_equal "$(field 'select(.type == "session") | .session_id')" "$(snapshot-meta session-name f)"
  copy_driver "$BATS_TEST_TMPDIR/newer"
  sed -i 's/^readonly version=[^ ]*/readonly version=9.9.9/' "$BATS_TEST_TMPDIR/newer/snapfork"
  run -0 --separate-stderr bash "$BATS_TEST_TMPDIR/newer/snapfork" status
  assert_contains "$stderr" 'the page server has version'
}

@test "status without a server is a record, and an error when it cannot be written" {
  run -0 --separate-stderr snapfork --json status
  assert_equal "$(field '[.type, .state] | @csv')" '"page_server","none"'
  run -5 --separate-stderr bash -c 'exec snapfork status >/dev/full'
  assert_contains "$stderr" "cannot write 'standard output'"
  run -5 --separate-stderr bash -c 'exec snapfork --json status >/dev/full'
}

@test "a record that cannot be written does not change the status of a failure, and is a failure after a success" {
  run -2 --separate-stderr bash -c 'exec snapfork --json unknown >/dev/full'
  run -1 --separate-stderr bash -c 'exec snapfork --json delete unknown >/dev/full'
  assert_contains "$stderr" 'no such guest'
  run -5 --separate-stderr bash -c 'exec snapfork --json delete base >/dev/full'
  assert_contains "$stderr" "cannot write 'standard output'"
}

@test "status names a guest that hangs also when a new server runs, until its VMM ends" {
  export SNAPFORK_KEEPER=0 # by design
  local vmm record
  hold_vmm "$(snapfork -q fork --backend uffd base f | jq -r .uffd_socket_path)"
  record=$BATS_TEST_TMPDIR/run/s/$(snapshot-meta session-name f)
  kill_server
  snapfork -q fork --backend uffd base other >/dev/null
  run -1 snapfork status
  assert_contains "$output" "f hangs: pid $vmm "
  assert_contains "$output" 'page server at'
  run -1 --separate-stderr snapfork --json status
  assert_equal "$(field 'select(.type == "hang") | [.id, .pid] | @csv')" "\"f\",$vmm"
  run -0 --separate-stderr snapfork -q delete --stop f
  run -0 snapfork status
  refute_contains "$output" 'hangs'
  [[ ! -e $record.vmm && ! -e $record.$vmm.vmm ]]
}

@test "status reports a server that does not answer" {
  snapfork -q fork --backend uffd base f >/dev/null
  local pids
  # The keeper is the first: it does not replace a stopped server.
  mapfile -t pids < <(pager_pids)
  kill -STOP "${pids[@]}"
  run -5 --separate-stderr snapfork status
  assert_contains "$output" 'does not answer'
  run -5 --separate-stderr snapfork --json status
  assert_equal "$(field 'select(.type == "page_server") | .state')" silent
  kill -CONT "${pids[@]}"
  run -0 snapfork status
}

@test "refuses a run directory that is not writable, belongs to another user, or contains links" {
  snapfork -q fork --backend file base a >/dev/null
  local run=$BATS_TEST_TMPDIR/run
  mkdir -m 700 "$run"
  : >"$BATS_TEST_TMPDIR/victim"
  local name
  for name in pager.log start.lock; do
    rm -f "$run"/*
    ln -s "$BATS_TEST_TMPDIR/victim" "$run/$name"
    run -5 --separate-stderr snapfork fork --backend uffd base f
    assert_contains "$stderr" "cannot open '$run/$name': it is not a regular file"
    rm "$run/$name"
    mkfifo "$run/$name"
    run -5 --separate-stderr snapfork fork --backend uffd base f
    rm "$run/$name"
  done
  assert_equal "$(<"$BATS_TEST_TMPDIR/victim")" ''
  chmod 777 "$run"
  run -5 --separate-stderr snapfork fork --backend uffd base f
  assert_contains "$stderr" "cannot use the run directory '$run'"
  rmdir "$run"
  : >"$run"
  run -5 --separate-stderr snapfork fork --backend uffd base f
  refute_contains "$stderr" unbound
  run -0 snapshot-meta forks base
  assert_equal "$output" a
}

@test "log of the page server is readable by its owner only, whatever the umask is" {
  umask 0
  run -0 snapfork -q fork --backend uffd base f
  assert_equal "$(stat -c '%a %n' "$BATS_TEST_TMPDIR"/run/{pager.log,start.lock} | cut -d ' ' -f 1 | sort -u)" 600
  assert_equal "$(umask)" 0000
}

@test "commands that need no run directory work without one" {
  chmod 755 "$BATS_TEST_TMPDIR" "$SNAPFORK_ROOT"
  unset SNAPFORK_PAGER
  # As a user other than root: the check of the user is replaced.
  copy_driver "$BATS_TEST_TMPDIR/driver"
  sed -i 's/\$EUID == 0 \]\]; then/1 == 0 ]]; then/' "$BATS_TEST_TMPDIR/driver/libexec/snapfork/lib/pager_path.bash"
  local as_user=(env -u XDG_RUNTIME_DIR bash "$BATS_TEST_TMPDIR/driver/snapfork" -q)
  run -0 "${as_user[@]}" list
  run -0 "${as_user[@]}" fork --backend file base f
  run -0 "${as_user[@]}" run f -- true
  run -0 "${as_user[@]}" delete f
  run -5 --separate-stderr "${as_user[@]}" fork --backend uffd base f
  assert_contains "$stderr" "cannot fork 'base': no run directory"
  refute_contains "$stderr" '--help'
  run -5 "${as_user[@]}" status
}

@test "run: a CMD that loads nothing leaves the first restore to the page server" {
  snapfork -q fork --backend uffd base f >/dev/null
  # shellcheck disable=SC2016 # of the command
  local command=(snapfork run f -- sh -c 'echo "${SNAPFORK_UFFD_SOCKET-file}"')
  run -0 "${command[@]}"
  local socket=$output
  [[ -S $socket ]]
  run -0 "${command[@]}"
  assert_equal "$output" "$socket"
  run -0 uffd-probe --socket "$socket" --mem "$SNAPSHOT/memory" --pages 100
  wait_until 10 no_pager
  run -0 "${command[@]}"
  assert_equal "$output" file
  run -0 snapshot-meta get f FirecrackerUseUFFDOnNextRestore
  assert_equal "$output" false
}

@test "guests survive kill -9 of all page servers, and status reports it" {
  local pids socket
  snapfork -q fork --backend uffd base f >"$BATS_TEST_TMPDIR/record"
  socket=$(jq -r .uffd_socket_path "$BATS_TEST_TMPDIR/record")
  two_servers() { (($(pgrep -fc "^uffd-serve --keeper-fd=.* --control $SNAPFORK_PAGER ") == 2)); }
  wait_until 10 two_servers
  mapfile -t pids < <(pgrep -f "^uffd-serve --keeper-fd=.* --control $SNAPFORK_PAGER ")
  kill -KILL "${pids[@]}"
  # The successor may have been told to serve before its own end was seen: then it counts, too.
  local restarts
  is_replaced() { [[ $(uffd-ctl --control "$SNAPFORK_PAGER" health) =~ \"restarts\":([12]), ]] && restarts=${BASH_REMATCH[1]}; }
  wait_until 10 is_replaced
  run -0 snapfork status
  assert_contains "$output" "its keeper has replaced it $restarts times; the last server was killed, and guests waited "
  run -0 snapfork --json status
  assert_equal "$(jq -r 'select(.type == "page_server").keeper | "\(.generation) \(.reason)"' <<<"$output")" "$((restarts + 1)) killed"
  run -0 uffd-probe --socket "$socket" --mem "$SNAPSHOT/memory" --pages 1000 --json
  # The server ends with its last session, and so does the keeper.
  wait_until 10 no_pager
}
