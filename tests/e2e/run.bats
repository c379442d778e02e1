#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Only the command of `run` sees the fork's files at the paths that the vmstate names.
# shellcheck disable=SC2154 # stderr and spawned_pid are set by run and the helpers

load helpers
load run_helpers

setup() {
  require_root
  unset host_dir
}

teardown() {
  drop_store
  # If a directory is missing on the host, `run` makes one empty directory.
  [[ ! -v host_dir ]] || rmdir "$host_dir"
}

# The directory that the fixtures name must not exist, as on most machines.
without_named_directory() {
  local top=/var/lib/hypeman
  [[ ! -e $top ]] || skip "'$top' exists here"
  host_dir=$top
}

three_forks_write_to_their_own_disks() { # <version of Firecracker>
  require_devices "$1"
  without_named_directory
  make_store xfs
  make_machine
  import_machine
  local before
  before=$(sha256sum "$MACHINE"/* "$SNAPFORK_ROOT"/guests/base/*.{raw,ext4})
  run -0 --separate-stderr snapfork fork --backend uffd -n 3 base
  local ids id pids=()
  mapfile -t ids < <(field .id)
  assert_equal "$(field '[.needs_run, .snapshot_load] | @json' | uniq)" '[true,null]'
  # All three commands run at the same time: each reports its start, and waits for the last.
  mkfifo "$BATS_TEST_TMPDIR/go"
  for id in "${ids[@]}"; do
    # shellcheck disable=SC2016 # for the shell in there
    spawn_to "$BATS_TEST_TMPDIR/said.$id" "$(type -P snapfork)" run "$id" -- sh -c '
      echo "$SNAPFORK_FORK" | dd of="$0/overlay.raw" conv=notrunc status=none
      : >"$0/vsock.sock"
      : >"$1.$SNAPFORK_FORK"
      read _ <"$1"
      head -n 1 "$0/overlay.raw" | tr -d "\0"
      head -n 1 "$0/config.ext4" | tr -d "\0"
      printf "%s\n" "$SNAPFORK_LOAD"' "$NAMED" "$BATS_TEST_TMPDIR/go"
    pids+=("$spawned_pid")
    wait_until 10 test -e "$BATS_TEST_TMPDIR/go.$id"
    assert_equal "$(snapshot-meta state "$id")" Running
  done
  run -1 --separate-stderr snapfork run "${ids[0]}" -- true
  assert_contains "$stderr" "it is already Running: process ${pids[0]} ("
  run -1 --separate-stderr snapfork delete "${ids[0]}"
  assert_contains "$stderr" "process ${pids[0]}"
  assert_equal "$(find "$host_dir")" "$host_dir" # the host sees one empty directory
  exec {go}<>"$BATS_TEST_TMPDIR/go"
  printf '\n\n\n' >&"$go"
  for id in "${ids[@]}"; do
    wait "${pids[0]}"
    pids=("${pids[@]:1}")
    mapfile -t lines <"$BATS_TEST_TMPDIR/said.$id"
    assert_equal "${lines[0]}" "$id"
    assert_equal "${lines[1]}" 'source config.ext4'
    assert_equal "$(jq -r .mem_backend.backend_path <<<"${lines[2]}")" "$BATS_TEST_TMPDIR/run/s/$(snapshot-meta session-name "$id").sock"
    assert_equal "$(first_line "$SNAPFORK_ROOT/guests/$id/overlay.raw")" "$id"
    [[ -e $SNAPFORK_ROOT/guests/$id/vsock.sock ]]
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

@test "three forks of a Firecracker 1.14 guest run at once, each with its own disks at the source's paths" {
  three_forks_write_to_their_own_disks 1.14.0
}

@test "three forks of a Firecracker 1.16 guest run at once, each with its own disks at the source's paths" {
  three_forks_write_to_their_own_disks 1.16.0
}

# A directory with other contents that is not a .../guests/ID.
make_plain_machine() {
  require_devices 1.14.0
  make_store xfs
  make_machine
  host_dir=$(mktemp -d /tmp/snapfork-e2e-XXXXXXXXXXXXXXXXXXXXXXXXXXXXXX)
  while ((${#host_dir} < ${#NAMED})); do
    mv "$host_dir" "${host_dir}x"
    host_dir+=x
  done
  rename_machine "$host_dir"
}

@test "run shows the fork's disks and socket in a directory whose other contents stay" {
  make_plain_machine
  cp "$MACHINE"/{overlay.raw,config.ext4} "$host_dir"
  mkdir "$host_dir/more"
  printf 'other\n' >"$host_dir/more/file"
  import_machine "$host_dir"
  snapfork -q fork --backend file base f >/dev/null
  # shellcheck disable=SC2016 # for the shell in there
  run -0 --separate-stderr snapfork run f -- sh -c '
    cat "$0/more/file"
    echo mine | dd of="$0/overlay.raw" conv=notrunc status=none
    : >"$0/vsock.sock"' "$host_dir"
  assert_equal "$output" other
  assert_equal "$(first_line "$host_dir/overlay.raw")" 'source overlay.raw'
  assert_equal "$(first_line "$SNAPFORK_ROOT/guests/f/overlay.raw")" mine
  [[ -e $SNAPFORK_ROOT/guests/f/vsock/vsock.sock && ! -e $host_dir/vsock.sock ]]
  rm -r "${host_dir:?}"/*
  # Without all of these, the fork still finds its own files.
  # shellcheck disable=SC2016 # for the shell in there
  run -0 --separate-stderr snapfork run --force f -- sh -c 'head -n 1 "$0/overlay.raw"' "$host_dir"
  assert_equal "${output%%[![:print:]]*}" mine
  snapfork -q delete f base
  assert_nothing_left
}

@test "run makes a disk of the source that the fork does not have read-only" {
  make_plain_machine
  cp "$MACHINE"/{overlay.raw,config.ext4} "$host_dir"
  snapfork -q import base --state "$MACHINE/state" --memory "$MACHINE/memory" \
    --disk "$MACHINE/overlay.raw=$host_dir/overlay.raw"
  snapfork -q fork --backend file base f >/dev/null
  # shellcheck disable=SC2016 # for the shell in there
  run -0 --separate-stderr snapfork run f -- sh -c '
    head -c 6 "$0/config.ext4"; ! { echo bad >>"$0/config.ext4"; } 2>/dev/null; echo' "$host_dir"
  assert_equal "$output" source
  rm -r "${host_dir:?}"/*
  snapfork -q delete f base
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
  run -2 snapfork run f
  run -2 snapfork run f --
  SNAPFORK_ROOT=$BATS_TEST_TMPDIR/nowhere run -125 --separate-stderr snapfork run f -- true
  assert_contains "$stderr" nowhere
  # This vmstate names no host path: the command gets no namespace, and inherits no descriptors.
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

@test "run starts nothing if the host paths of a vmstate are not known" {
  make_store tmpfs
  make_template
  snapfork -q fork --backend file base f >/dev/null
  mkdir "$BATS_TEST_TMPDIR/bin"
  # shellcheck disable=SC2016 # for the stand-in
  printf '#!/bin/bash\n[[ $1 != host-paths ]] || exit 3\nexec %s "$@"\n' "$(type -P snapshot-meta)" \
    >"$BATS_TEST_TMPDIR/bin/snapshot-meta"
  chmod +x "$BATS_TEST_TMPDIR/bin/snapshot-meta"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH run -125 snapfork run f -- touch "$BATS_TEST_TMPDIR/ran"
  [[ ! -e $BATS_TEST_TMPDIR/ran ]]
  assert_equal "$(snapshot-meta state f)" Standby
}
