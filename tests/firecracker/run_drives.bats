#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork run of forks with drives and a vsock: whatever the paths in the state of their template are, and whatever became
# of the host's files, each fork opens its own.
# shellcheck disable=SC2154,SC2034 # variables of, and for, the helpers

load helpers
load flow_helpers
load run_helpers
load drive_helpers

setup() {
  flow_setup
  firecracker_options
  ask=guest_answers
}

teardown() {
  stop_everything
  [[ ! -v host_files ]] || rm -rf -- "${host_files[@]}"
}

# Runs two forks at once. Before that, the host's files are replaced: one by another file, one by nothing, and one by a
# directory.
two_forks_use_their_own_files() { # [prefix]
  local fork
  make_template "$BATS_TEST_TMPDIR/machine" "$@"
  fork_guests --backend file -n 2 base
  mv "${host_files[0]}" "$BATS_TEST_TMPDIR/renamed"
  rm "${host_files[1]}"
  printf 'another file' >"${host_files[0]}"
  mkdir "${host_files[2]}"
  cd "$machine" || return
  for fork in "${forks[@]}"; do
    run_fork "$fork"
    opens_only_its_own_files "$fork" "$(run_record "$fork" .pid)"
    [[ $(run_record "$fork" .vsock_path) == "$SNAPFORK_ROOT/guests/$fork/vsock.sock" ]]
    writes_to_its_own_drives "$fork"
  done
  for fork in "${forks[@]}"; do has_its_own_drives "$fork"; done
  cd "$BATS_TEST_TMPDIR" || return
  [[ $(<"${host_files[0]}") == 'another file' && ! -e ${host_files[1]} && -z $(ls "${host_files[2]}") ]]
  snapfork stop "${forks[@]}"
  # They wrote to their drives after their snapshot.
  run -1 run_fork "${forks[0]}"
  [[ $output == *'it is Stale'* ]]
  sha256sum --check --quiet < <(grep "$SNAPFORK_ROOT" <<<"$before")
  snapfork delete "${forks[@]}" base
  rmdir "${host_files[2]}"
  rm -r "$machine" "$BATS_TEST_TMPDIR/snapshot" "$BATS_TEST_TMPDIR/renamed"
  nothing_is_left
}

@test "run: absolute paths in the state, and other files at them" {
  two_forks_use_their_own_files
}

@test "run: relative paths in the state, and other files at them" {
  two_forks_use_their_own_files ''
}

@test "run: relative paths with a directory in the state, and other files at them" {
  two_forks_use_their_own_files ../machine/
}

@test "run: paths of one component, directly below the root, and other files at them" {
  [[ -w / ]] || skip 'needs write permission for /'
  two_forks_use_their_own_files "/snapfork-test-$$-"
}

@test "twenty forks with drives start at once: each opens its own files, and a failing command leaves nothing of its fork" {
  local fork good=() bad=()
  make_template "$BATS_TEST_TMPDIR/machine"
  fork_guests --backend file -n 20 base
  good=("${forks[@]:0:10}") bad=("${forks[@]:10}")
  printf '%s\n' "${bad[@]}" >"$BATS_TEST_TMPDIR/bad"
  # shellcheck disable=SC2016 # for the command
  local hook='stat -Lc %d:%i "/proc/$SNAPFORK_VMM_PID/fd/"* >"'"$BATS_TEST_TMPDIR"'/open.$SNAPFORK_FORK" 2>/dev/null
    ! grep -qx "$SNAPFORK_FORK" "'"$BATS_TEST_TMPDIR"'/bad"'
  run -123 xargs -P 20 -I{} snapfork -q run --detach "${firecracker_options[@]}" --after-load "$hook" {} \
    < <(printf '%s\n' "${forks[@]}")
  (($(grep -c 'the command of --after-load ended with status 1' <<<"$output") == 10))
  (($(grep -c '^{"type":"run"' <<<"$output") == 10))
  for fork in "${forks[@]}"; do
    local other
    for other in "${forks[@]}" base; do
      [[ $(grep -cx "$(stat -c %d:%i "$SNAPFORK_ROOT/guests/$other/root.img")" "$BATS_TEST_TMPDIR/open.$fork") == $([[ $other == "$fork" ]] && echo 1 || echo 0) ]]
    done
  done
  for fork in "${bad[@]}"; do
    [[ $(snapshot-meta state -q "$fork") == Standby && ! -e $BATS_TEST_TMPDIR/run/vm/$(snapshot-meta session-name "$fork") ]]
    [[ ! -e $SNAPFORK_ROOT/guests/$fork/vsock.sock ]]
  done
  for fork in "${good[@]}"; do [[ $(snapshot-meta state -q "$fork") == Running ]]; done
  snapfork stop "${good[@]}"
  snapfork delete "${forks[@]}" base
  rm -r "$machine"
  nothing_is_left
}
