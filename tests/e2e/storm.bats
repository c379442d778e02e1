#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Eight processes run all flows at once on the same five templates, and are killed at random. STORM_SECONDS (10) and
# STORM_SEED; `make soak` runs for minutes.

load helpers

setup() {
  require_root
}

teardown() {
  drop_store
}

make_five_templates() {
  local n
  common_setup
  mount_fs xfs "$BATS_TEST_TMPDIR/fs" 600
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/store SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
  storm=$BATS_TEST_TMPDIR/fs/storm
  mkdir "$SNAPFORK_ROOT" "$storm"
  "$HELPERS/write-vmstate" "$storm/state" 10.0.0 1
  for n in 1 2 3 4 5; do
    { head -c 300000 /dev/urandom && head -c 748576 /dev/zero; } >"$storm/memory.$n"
    snapfork -q import "t$n" --state "$storm/state" --memory "$storm/memory.$n"
    snapfork -q promote "t$n"
  done
}

worker_is_done() { # <number>
  [[ -e $storm/done.$1 ]]
}

# No process holds a lock, and fsck repairs what killed processes left.
assert_store_in_order() {
  local ids
  mapfile -t ids < <(find "$SNAPFORK_ROOT/.snapfork/locks" -name '*.lock' -printf '%f\n' | sed 's/\.lock$//')
  template-lock --no-wait "${ids[@]}" -- true
  run -0 snapshot-meta fsck --repair
  run -0 snapshot-meta fsck
  assert_equal "$output" ''
  local id
  for id in "$SNAPFORK_ROOT"/guests/*; do
    id=${id##*/}
    [[ $(snapshot-meta state "$id") == @(Standby|Template) ]] || fail "$id is $(snapshot-meta state "$id")"
    snapshot-meta verify --deep "$id" >/dev/null || fail "$id is not in order"
  done
  assert_equal "$(find "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1)" ''
}

@test "storm: no template with a live fork is deleted, demoted or changed, and fsck repairs all" {
  local seed=${STORM_SEED:-$RANDOM} seconds=${STORM_SECONDS:-10} n id
  make_five_templates
  printf '# STORM_SEED=%s\n' "$seed" >&3
  for n in 1 2 3 4 5 6 7 8; do
    spawn bash "$BATS_TEST_DIRNAME/storm_worker.bash" "$n" "$((seed + n))" "$seconds" "$storm"
  done
  for n in 1 2 3 4 5 6 7 8; do wait_until $((seconds + 60)) worker_is_done "$n"; done
  [[ ! -e $storm/broken ]] || fail "$(<"$storm/broken")" "$(sort "$storm"/log.* | tail -n 60)"
  cat "$storm"/done.* | awk '{o += $1; k += $2; f += $3; t += $4; l += $5}
    END {printf "# %d operations, %d killed, %d forks, %d templates demoted or deleted, %d forks left\n", o, k, f, t, l
      exit !(k && f && t)}' >&3
  assert_store_in_order
  # Everything can be deleted: the forks first, then their templates.
  for id in "$SNAPFORK_ROOT"/guests/t?-* "$SNAPFORK_ROOT"/guests/t?; do
    [[ ! -e $id ]] || snapfork -q delete "${id##*/}"
  done
  assert_nothing_left
}
