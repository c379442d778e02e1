#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone compared with cp -a and rsync -aHAXS: 500 trees with everything that a copy must keep. The result
# of each must equal the source, on every filesystem.
# To repeat a failure: TREE_SEED=N bats tests/cli/reflink-clone-differential.bats
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run

load helpers
load ../mounts
load reflink-clone_helpers

setup_file() {
  mount_each 600
}

setup() {
  common_setup
  seed=${TREE_SEED:-$SRANDOM}
}

differ() { # <what> <source> <copy> [option]
  local said
  said=$("$HELPERS/random-tree" compare "${@:2}") || fail "$1 differs, TREE_SEED=$seed:" "$said"
}

compare_on() { # <filesystem> <trees>
  require_cmd rsync
  on "$1"
  local i jobs
  mkdir src dst
  "$HELPERS/random-tree" make src "$seed" "$2" || fail "no trees, TREE_SEED=$seed"
  # Holes and data are only final on the disk.
  sync -f .
  for ((i = 0; i < $2; i++)); do
    jobs=$((i % 2 + 1))
    reflink-clone -q --jobs "$jobs" "src/$i" "dst/$i" || fail "no clone of tree $i, TREE_SEED=$seed"
  done
  cp -a src dst-cp
  rsync -aHAXS src/ dst-rsync/
  sync -f .
  differ 'the clone' src dst
  # cp and rsync agree with the source, and so with reflink-clone, except for the positions of holes.
  differ "cp's copy" src dst-cp --no-holes
  differ "rsync's copy" src dst-rsync --no-holes
}

@test "reflink-clone, cp and rsync agree on 125 trees on XFS" { compare_on xfs 125; }
@test "reflink-clone, cp and rsync agree on 125 trees on btrfs" { compare_on btrfs 125; }
@test "reflink-clone, cp and rsync agree on 125 trees on ext4" { compare_on ext4 125; }
@test "reflink-clone, cp and rsync agree on 125 trees on tmpfs" { compare_on tmpfs 125; }
