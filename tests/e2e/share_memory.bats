#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapfork fork --share-memory: the source becomes a template first.
# shellcheck disable=SC2154 # what run sets

load helpers
load ../standby_guest

setup() {
  make_store xfs
  make_guest g
}

teardown() {
  drop_store
}

links() {
  stat --format=%h "$SNAPFORK_ROOT/guests/g/snapshots/snapshot-latest/memory"
}

@test "fork --share-memory promotes a guest in Standby once, and its forks share one memory file" {
  run -0 --separate-stderr snapfork -q fork --share-memory --backend file -n 2 g
  ((${#lines[@]} == 2))
  [[ $(snapshot-meta state -q g) == Template ]]
  (($(links) == 3))
  snapfork -q fork --share-memory --backend file g h >/dev/null
  (($(links) == 4))
}

@test "fork --share-memory --dry-run prints a plan that promotes and links" {
  run -0 --separate-stderr snapfork -q fork --share-memory --backend file --dry-run g h
  [[ $output == *'+ snapfork -q promote g'* && $output == *'--memory=link'* ]]
  [[ $(snapshot-meta state -q g) == Standby ]]
  bash -c "${output//+ /}"
  (($(links) == 2))
}

@test "fork --share-memory refuses what promote refuses, and leaves the source as it was" {
  printf y >>"$SNAPFORK_ROOT/guests/g/disk.raw"
  run -1 --separate-stderr snapfork -q fork --share-memory --backend file g h
  [[ $stderr == *disk.raw* && ! -e $SNAPFORK_ROOT/guests/h ]]
  [[ $(snapshot-meta state -q g) == Stale ]]
}
