#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `run` starts a command that loads a fork: its state names the fork's own disks and socket.
# shellcheck disable=SC2030,SC2031,SC2154 # stderr and spawned_pid are set by run and the helpers

load helpers
load run_helpers

setup() { require_root; }
teardown() { drop_store; }

three_forks_write_to_their_own_disks() {
  import_machine
  local before
  before=$(sha256sum "$MACHINE"/* "$SNAPFORK_ROOT"/guests/base/*.{raw,ext4})
  run -0 --separate-stderr snapfork fork --backend uffd -n 3 base
  local ids id pids=()
  mapfile -t ids < <(field .id)
  assert_equal "$(field '[.needs_run, .snapshot_load.mem_backend.backend_type] | @json' | uniq)" '[false,"Uffd"]'
  # All three commands run at the same time: each reports its start, and waits for the last.
  mkfifo "$BATS_TEST_TMPDIR/go"
  for id in "${ids[@]}"; do
    # shellcheck disable=SC2016 # for the shell in there
    spawn_to "$BATS_TEST_TMPDIR/said.$id" "$(type -P snapfork)" run "$id" -- bash -c '
      source "$0"
      echo "$SNAPFORK_FORK" | dd of="$(path_of overlay.raw)" conv=notrunc status=none
      : >"$1.$SNAPFORK_FORK"
      read -r _ <"$1"
      head -n 1 "$(path_of overlay.raw)" | tr -d "\0"
      head -n 1 "$(path_of config.ext4)" | tr -d "\0"
      path_of vsock.sock
      printf "%s\n" "$SNAPFORK_LOAD"' "$BATS_TEST_DIRNAME/path_of.bash" "$BATS_TEST_TMPDIR/go"
    pids+=("$spawned_pid")
    wait_until 10 test -e "$BATS_TEST_TMPDIR/go.$id" || fail "$(<"$BATS_TEST_TMPDIR/said.$id")"
    assert_equal "$(snapshot-meta state "$id")" Running
  done
  run -1 --separate-stderr snapfork run "${ids[0]}" -- true
  assert_contains "$stderr" "it is already Running: process ${pids[0]} ("
  run -1 --separate-stderr snapfork delete "${ids[0]}"
  assert_contains "$stderr" "process ${pids[0]}"
  exec {go}<>"$BATS_TEST_TMPDIR/go"
  printf '\n\n\n' >&"$go"
  for id in "${ids[@]}"; do
    wait "${pids[0]}"
    pids=("${pids[@]:1}")
    mapfile -t lines <"$BATS_TEST_TMPDIR/said.$id"
    assert_equal "${lines[0]}" "$id"
    assert_equal "${lines[1]}" 'source config.ext4'
    assert_equal "${lines[2]}" "$SNAPFORK_ROOT/guests/$id/vsock.sock"
    assert_equal "$(jq -r .mem_backend.backend_path <<<"${lines[3]}")" "$BATS_TEST_TMPDIR/run/s/$(snapshot-meta session-name "$id").sock"
    assert_equal "$(first_line "$SNAPFORK_ROOT/guests/$id/overlay.raw")" "$id"
    assert_equal "$(snapshot-meta state "$id")" Stale # it wrote to its disk
  done
  sha256sum --check --quiet <<<"$before"
  # The memory was not loaded, so the first load still uses the page server; without its session, the file.
  run -0 --separate-stderr snapfork run --force "${ids[0]}" -- printenv SNAPFORK_LOAD
  assert_equal "$(field .mem_backend.backend_type)" Uffd
  uffd-ctl --control "$SNAPFORK_PAGER" close "$(snapshot-meta session-name "${ids[0]}")"
  run -0 --separate-stderr snapfork run --force "${ids[0]}" -- printenv SNAPFORK_LOAD
  assert_equal "$(field .mem_backend.backend_type)" File
  run -0 --separate-stderr snapfork run --force --backend uffd "${ids[0]}" -- printenv SNAPFORK_LOAD
  assert_equal "$(field .mem_backend.backend_type)" Uffd
  snapfork -q delete "${ids[@]}" base
  assert_nothing_left
}

@test "three forks run at once, each with its own disks" {
  make_store xfs
  make_machine
  three_forks_write_to_their_own_disks
}

@test "three forks of a Firecracker 1.14 guest run at once, each with its own disks" {
  require_devices 1.14.0
  make_store xfs
  make_real_machine
  three_forks_write_to_their_own_disks
}

@test "three forks of a Firecracker 1.16 guest run at once, each with its own disks" {
  require_devices 1.16.0
  make_store xfs
  make_real_machine
  three_forks_write_to_their_own_disks
}

@test "a fork finds its own files after the host's were replaced and removed" {
  make_store xfs
  make_machine "$BATS_TEST_TMPDIR/machine"
  snapfork -q import src --state "$MACHINE/state" --memory "$MACHINE/memory" --disk "$MACHINE/overlay.raw" --disk "$MACHINE/config.ext4"
  snapfork -q fork --backend file src f >/dev/null
  echo 'new image' >"$MACHINE/new"
  mv "$MACHINE/new" "$MACHINE/overlay.raw"
  rm "$MACHINE/config.ext4"
  snapfork -q delete src
  # shellcheck disable=SC2016 # for the shell in there
  run -0 --separate-stderr snapfork run f -- bash -c 'source "$0"
    echo mine | dd of="$(path_of overlay.raw)" conv=notrunc status=none
    head -n 1 "$(path_of config.ext4)" | tr -d "\0"' "$BATS_TEST_DIRNAME/path_of.bash"
  assert_equal "$output" 'source config.ext4'
  assert_equal "$(first_line "$SNAPFORK_ROOT/guests/f/overlay.raw")" mine
  assert_equal "$(<"$MACHINE/overlay.raw")" 'new image'
  [[ ! -e $MACHINE/config.ext4 && ! -e $MACHINE/vsock.sock ]]
}

@test "run rewrites the state of an imported guest, and of one whose store was moved" {
  make_store xfs
  make_machine
  snapfork -q import g --state "$MACHINE/state" --memory "$MACHINE/memory" \
    --disk "$MACHINE/overlay.raw=$NAMED/overlay.raw" --disk "$MACHINE/config.ext4=$NAMED/config.ext4"
  # shellcheck disable=SC2016 # for the shell in there
  local command=(bash -c 'source "$0" && path_of overlay.raw && path_of vsock.sock' "$BATS_TEST_DIRNAME/path_of.bash")
  run -0 --separate-stderr snapfork --dry-run run g -- true
  assert_contains "$output" '+ snapshot-meta own-paths g'
  run -0 --separate-stderr snapfork run g -- "${command[@]}"
  assert_equal "$output" "$SNAPFORK_ROOT/guests/g/overlay.raw"$'\n'"$SNAPFORK_ROOT/guests/g/vsock.sock"
  mv "$SNAPFORK_ROOT" "${SNAPFORK_ROOT%/*}/moved"
  SNAPFORK_ROOT=${SNAPFORK_ROOT%/*}/moved
  run -0 --separate-stderr snapfork run g -- "${command[@]}"
  assert_equal "$output" "$SNAPFORK_ROOT/guests/g/overlay.raw"$'\n'"$SNAPFORK_ROOT/guests/g/vsock.sock"
  # A killed VMM leaves its socket.
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$SNAPFORK_ROOT/guests/g/vsock.sock"
  run -0 --separate-stderr snapfork run g -- test ! -e "$SNAPFORK_ROOT/guests/g/vsock.sock"
}

@test "a vsock socket in the run directory disturbs neither the page server nor status, and delete removes it" {
  local run_dir
  make_store xfs
  make_machine
  SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/$(printf 'l%.0s' {1..90})
  mkdir "$SNAPFORK_ROOT"
  run_dir=$(mktemp -d /tmp/snapfork-XXXXXX)
  SNAPFORK_PAGER=$run_dir/p.sock
  import_machine
  snapfork -q fork --backend uffd base f >/dev/null
  # shellcheck disable=SC2016 # for the shell in there
  run -0 --separate-stderr snapfork run f -- bash -c 'source "$0" && path_of sock' "$BATS_TEST_DIRNAME/path_of.bash"
  assert_equal "$output" "$run_dir/v/$(snapshot-meta session-name f).sock"
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$output"
  run -0 --separate-stderr snapfork status
  assert_contains "$output" waiting
  run -0 --separate-stderr uffd-ctl hung
  assert_equal "$output$stderr" ''
  snapfork -q delete f base
  wait_until 10 no_pager
  assert_equal "$(find "$run_dir" ! -type d ! -name '*.log' ! -name '*.lock')" ''
  rm -r "$run_dir"
}

@test "run exits with the status of the command, or with that of a wrapper" {
  make_store xfs
  make_template
  snapfork -q fork --backend uffd base f >/dev/null
  run -42 snapfork run f -- sh -c 'exit 42'
  run -127 --separate-stderr snapfork run f -- no-such-program
  assert_contains "$stderr" "no-such-program"
  run -126 --separate-stderr snapfork run f -- "$SNAPSHOT/state"
  run -1 --separate-stderr snapfork run base -- true
  assert_contains "$stderr" template
  run -1 snapfork run nobody -- true
  run -2 snapfork run f --
  SNAPFORK_ROOT=$BATS_TEST_TMPDIR/nowhere run -125 --separate-stderr snapfork run f -- true
  assert_contains "$stderr" nowhere
  # The command gets no namespace, and inherits no descriptors.
  # shellcheck disable=SC2016 # for the shell in there
  run -0 snapfork run f -- bash -c 'readlink /proc/self/ns/mnt; echo "${SNAPFORK_LOCK_FD-none}"; ls -l /proc/self/fd'
  assert_equal "${lines[0]}" "$(readlink /proc/self/ns/mnt)"
  assert_equal "${lines[1]}" none
  refute_contains "$output" "$SNAPFORK_ROOT"
}

@test "delete --stop ends a VMM, with SIGKILL if it ignores SIGTERM" {
  make_store xfs
  make_template
  snapfork -q fork --backend file -n 2 base >"$BATS_TEST_TMPDIR/forks"
  local ids
  mapfile -t ids < <(jq -r .id "$BATS_TEST_TMPDIR/forks")
  spawn "$(type -P snapfork)" run "${ids[0]}" -- tail -f /dev/null
  local polite=$spawned_pid
  spawn "$(type -P snapfork)" run "${ids[1]}" -- bash -c "trap '' TERM; : >$BATS_TEST_TMPDIR/deaf; exec tail -f /dev/null"
  local deaf=$spawned_pid
  wait_until 10 test -e "$BATS_TEST_TMPDIR/deaf"
  is_running() { [[ $(snapshot-meta state "$1") == Running ]]; }
  wait_until 10 is_running "${ids[0]}"
  run -0 snapfork delete --stop "${ids[@]}"
  wait_until 10 is_gone "$polite"
  wait_until 10 is_gone "$deaf"
  snapfork -q delete base
  assert_nothing_left
}

@test "run starts nothing if the state may name files of the host" {
  make_store tmpfs
  make_template
  snapfork -q fork --backend file base f >/dev/null
  "$HELPERS/write-vmstate" "$SNAPFORK_ROOT/guests/f/snapshots/snapshot-latest/state" 10.0.0 128 drive=/d/one
  run -1 --separate-stderr snapfork run f -- touch "$BATS_TEST_TMPDIR/ran"
  assert_contains "$stderr" "its state names the drive '/d/one'"
  run -1 --separate-stderr snapfork --dry-run run f -- touch "$BATS_TEST_TMPDIR/ran"
  "$HELPERS/write-vmstate" "$SNAPFORK_ROOT/guests/f/snapshots/snapshot-latest/state" 7.0.0 128
  run -125 --separate-stderr snapfork run f -- touch "$BATS_TEST_TMPDIR/ran"
  assert_contains "$stderr" 'so loading it may open disks of another guest'
  [[ ! -e $BATS_TEST_TMPDIR/ran ]]
  assert_equal "$(snapshot-meta state f)" Standby
}
