#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --dry-run changes nothing on the disk, fails with the status of the real call where that is refused, and the plan of the
# driver is a script.
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells; stderr is set by run

load helpers

setup() {
  require_root
  make_store xfs
  make_template
  snapfork -q fork --backend file base f >/dev/null
  snapfork -q fork --backend file f plain >/dev/null
}

teardown() {
  drop_store
}

# Prints names, inodes, modes, times, sizes and contents of all files on the filesystem and in the run directory.
picture() {
  (cd "$BATS_TEST_TMPDIR" && find fs run -printf '%p %i %m %n %s %T@ %C@\n' 2>/dev/null | sort)
  find "$SNAPFORK_ROOT" -type f -not -name memory -exec sha256sum {} + | sort
  find "$BATS_TEST_TMPDIR" -mindepth 1 -maxdepth 1 ! -name 'separate-stderr*'
}

changes_nothing_plain() { # <status> <program> <arguments...>
  local expected=$1 before
  shift
  before=$(picture)
  run "-$expected" "$1" "${@:2:1}" --dry-run "${@:3}"
  [[ $(picture) == "$before" ]] || fail "$* changed something"
}

# Runs a command with --dry-run, and again with --json.
changes_nothing() { # <status> <program> <arguments...>
  changes_nothing_plain "$@"
  local expected=$1 before
  shift
  before=$(picture)
  run "-$expected" --separate-stderr "$1" "${@:2:1}" --dry-run --json "${@:3}"
  if [[ $1 == snapfork && $output ]]; then
    jq -e '.type == "plan" or .type == "error"' <<<"$output" >/dev/null || fail 'these are not records'
  fi
  [[ $(picture) == "$before" ]] || fail "$* --json changed something"
}

@test "driver --dry-run changes nothing, with one operand, several, and --json" {
  local import=(--state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory")
  changes_nothing 0 snapfork import new "${import[@]}"
  changes_nothing 0 snapfork promote plain
  changes_nothing 0 snapfork fork --backend uffd base new
  changes_nothing 0 snapfork fork --backend uffd -n 5 base
  changes_nothing 0 snapfork fork --backend file plain new
  changes_nothing_plain 0 snapfork run f -- true
  changes_nothing 0 snapfork delete f
  changes_nothing 0 snapfork delete f plain
  snapfork -q delete f
  changes_nothing 0 snapfork delete base plain
  changes_nothing 0 snapfork demote base
  changes_nothing 2 snapfork delete plain plain
}

@test "driver --dry-run is refused with the status of the real call" {
  changes_nothing 1 snapfork delete base
  changes_nothing 1 snapfork delete nobody f
  changes_nothing 1 snapfork demote base
  changes_nothing 0 snapfork demote plain # sealed as the memory that it was cloned from: unsealed
  changes_nothing 1 snapfork promote base
  changes_nothing_plain 1 snapfork run base -- true
  changes_nothing 1 snapfork fork --backend uffd base f
  changes_nothing 1 snapfork import f --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  spawn template-lock f plain base new -- tail -f /dev/null
  wait_until_held plain # the last of the ids in lock order
  changes_nothing 1 snapfork delete plain
  changes_nothing 1 snapfork promote plain
  changes_nothing_plain 1 snapfork run f -- true
  changes_nothing 1 snapfork fork --backend uffd plain other
  changes_nothing 1 snapfork import new --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
}

@test "delete --dry-run of a template ignores a fork that was interrupted, as the real call does" {
  snapfork -q delete f
  snapshot-meta fork-begin base gone >/dev/null
  changes_nothing 0 snapfork demote base
  changes_nothing 0 snapfork delete base
  run -0 snapfork -q delete base
}

@test "import --dry-run and fork --dry-run refuse copies for which the disk has no space" {
  mount_fs ext4 "$BATS_TEST_TMPDIR/small" 120
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/small/store
  mkdir "$SNAPFORK_ROOT"
  local small=(--state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory")
  snapfork -q import base "${small[@]}"
  run -5 --separate-stderr snapfork --dry-run import again "${small[@]}"
  assert_contains "$stderr" 'are free'
  run -5 snapfork -q import again "${small[@]}"
  run -5 --separate-stderr snapfork --dry-run fork --backend file base a
  assert_contains "$stderr" 'are free'
  run -5 snapfork -q fork --backend file base a
  run -3 snapfork --dry-run fork --backend file --reflink=always base a
  run -3 snapfork -q fork --backend file --reflink=always base a
}

@test "snapshot-meta, template-lock, reflink-clone and hotpage-record --dry-run change nothing" {
  local memory=$SNAPFORK_ROOT/guests/plain/snapshots/snapshot-latest/memory
  changes_nothing 0 snapshot-meta set plain Name=x
  changes_nothing 0 snapshot-meta unset plain Name
  changes_nothing 0 snapshot-meta promote plain
  changes_nothing 1 snapshot-meta demote base
  changes_nothing 0 snapshot-meta fork-begin base new
  changes_nothing 1 snapshot-meta fork-publish base new
  changes_nothing 1 snapshot-meta fork-end base f
  changes_nothing 0 snapshot-meta trash plain
  changes_nothing 1 snapshot-meta trash base
  changes_nothing 0 snapshot-meta fsck --repair
  changes_nothing 0 snapshot-meta run-begin plain
  changes_nothing 0 snapshot-meta stop plain
  changes_nothing 0 template-lock seal plain
  changes_nothing 0 template-lock unseal plain
  changes_nothing 1 template-lock unseal base
  cp -r "$SNAPSHOT" "$BATS_TEST_TMPDIR/fs/copy"
  changes_nothing 0 reflink-clone "$memory" "$BATS_TEST_TMPDIR/fs/new"
  changes_nothing 0 reflink-clone --dig "$memory"
  changes_nothing 0 reflink-clone "--clean=$SNAPFORK_ROOT"
  printf '# snapfork-trace 1 page_size=4096 memory_bytes=8192 regions=0+8192\n1\n' >"$BATS_TEST_TMPDIR/fs/trace"
  changes_nothing 0 hotpage-record record "$BATS_TEST_TMPDIR/fs/trace" -o "$BATS_TEST_TMPDIR/fs/hot"
}

# Makes a Diff with 1 MiB of data, and a file that it can be merged into.
make_diff() {
  cd "$BATS_TEST_TMPDIR/fs" || return
  cp "$SNAPSHOT/memory" target
  cp "$SNAPSHOT/state" state
  truncate -s "$(stat --format=%s target)" diff
  head -c 1M /dev/urandom | dd of=diff bs=1M seek=3 conv=notrunc status=none
}

@test "merge-diff and rewrite-paths --dry-run change nothing, and refuse as the real call does" {
  make_diff
  local base=$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory kernel
  changes_nothing 0 snapshot-meta merge-diff diff target
  changes_nothing 1 snapshot-meta merge-diff diff diff
  changes_nothing 1 snapshot-meta merge-diff diff "$base"
  changes_nothing 0 snapshot-meta merge-diff --of-copy diff "$base"
  changes_nothing 4 snapshot-meta merge-diff diff state
  changes_nothing 4 snapshot-meta merge-diff --of-copy diff state
  changes_nothing 5 snapshot-meta merge-diff diff nothing
  run -2 snapshot-meta merge-diff --of-copy diff target
  kernel=$(snapshot-meta vmstate --json state | jq -r .kernel_path)
  local call=(snapshot-meta rewrite-paths "--from=$kernel" --to=/k)
  changes_nothing 0 "${call[@]}" state out
  changes_nothing 0 "${call[@]}" --force state state
  changes_nothing 1 "${call[@]}" state state
  changes_nothing 1 snapshot-meta rewrite-paths --from=/nothing --to=/k state out
  changes_nothing 5 "${call[@]}" state missing/out
  changes_nothing 5 "${call[@]}" --force state "$BATS_TEST_TMPDIR/fs"
  run -5 "${call[@]}" state missing/out
  run -5 "${call[@]}" --force state "$BATS_TEST_TMPDIR/fs"
  [[ ! -e out ]]
}

@test "import of a Diff with a base of another size is refused before anything is copied" {
  make_diff
  local call=(snapfork import new --state state --memory diff)
  changes_nothing 4 "${call[@]}" --base state
  run -4 "${call[@]}" --base state
  # The memory of a template is sealed and linked, so it is copied first.
  changes_nothing 0 "${call[@]}" --base "$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory"
  run -0 "${call[@]}" --base "$SNAPFORK_ROOT/guests/base/snapshots/snapshot-latest/memory"
}

@test "dry runs refuse names that cannot be written, and two equal destinations" {
  cd "$BATS_TEST_TMPDIR/fs" || return
  printf '# snapfork-trace 1 page_size=4096 memory_bytes=8192 regions=0+8192\n1\n' >trace
  local out
  for out in . missing/hot trace/hot; do
    changes_nothing 5 hotpage-record record trace -o "$out"
    run -5 hotpage-record record trace -o "$out"
  done
  changes_nothing 2 reflink-clone trace a b a
  run -2 reflink-clone trace a b a
  [[ ! -e a && ! -e b ]]
}

@test "fsck without --repair, and with --dry-run, makes no lock file" {
  mkdir -p "$SNAPFORK_ROOT/.snapfork/tmp/fork.lost"
  changes_nothing 1 snapshot-meta fsck
  changes_nothing 1 snapshot-meta fsck --repair
  local before
  before=$(picture)
  run -1 snapshot-meta fsck
  assert_contains "$output" fork.lost
  [[ $(picture) == "$before" ]]
  spawn template-lock lost -- tail -f /dev/null
  wait_until_held lost
  run -1 snapshot-meta fsck
  assert_contains "$output" 'busy: '
}

@test "init --dry-run of files on another filesystem fails as init does" {
  run -3 --separate-stderr snapshot-meta init new --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory" --dry-run
  assert_contains "$stderr" 'different filesystems'
  run -3 snapshot-meta init new --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  cp -r "$SNAPSHOT" "$BATS_TEST_TMPDIR/fs/copy"
  changes_nothing 0 snapshot-meta init new --state "$BATS_TEST_TMPDIR/fs/copy/state" --memory "$BATS_TEST_TMPDIR/fs/copy/memory"
}

# Runs a plan as a script, with `sed` and `bash`.
type_plan() { # <arguments of snapfork...>
  snapfork --dry-run "$@" >"$BATS_TEST_TMPDIR/plan"
  sed 's/^+ //' "$BATS_TEST_TMPDIR/plan" >"$BATS_TEST_TMPDIR/script"
  # A delete removes the lock files of the id once it has released the locks.
  assert_equal "$(grep -v '^template-lock -q forget ' "$BATS_TEST_TMPDIR/script" | tail -n 1)" END
  (cd "$BATS_TEST_TMPDIR/empty" && bash -euo pipefail "$BATS_TEST_TMPDIR/script" </dev/null 3>&- 4>&-)
}

@test "plans of import, promote, fork, run, delete and demote work as scripts" {
  mkdir "$BATS_TEST_TMPDIR/empty"
  type_plan import new --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  type_plan promote new
  run -0 snapshot-meta state new
  assert_equal "$output" Template
  run -0 type_plan fork --backend uffd new typed
  assert_equal "$(jq -r .session_id <<<"$(grep '^{"type":"fork"' <<<"$output")")" "$(snapshot-meta session-name typed)"
  run -0 template-lock holders typed
  assert_equal "$output" ''
  run -0 uffd-probe --socket "$BATS_TEST_TMPDIR/run/s/$(snapshot-meta session-name typed).sock" \
    --mem "$SNAPSHOT/memory" --pages 20000 --json
  assert_equal "$(field 'select(.type == "probe") | [.wrong_pages, .touched] | @csv')" '0,20000'
  type_plan fork --backend uffd new typed2
  run -0 snapfork -q delete typed
  # shellcheck disable=SC2016 # of the typed shell
  run -0 type_plan run --backend file typed2 -- sh -c 'echo "$SNAPFORK_FORK"; echo "$SNAPFORK_LOAD"; template-lock holders typed2; snapshot-meta state -q typed2'
  assert_equal "${lines[0]}" typed2
  assert_equal "$(jq -r .snapshot_path <<<"${lines[1]}")" "$SNAPFORK_ROOT/guests/typed2/snapshots/snapshot-latest/state"
  assert_equal "${lines[2]}" Running
  type_plan delete typed2
  type_plan demote new
  type_plan delete new
  [[ ! -e $SNAPFORK_ROOT/guests/new ]]
  assert_equal "$(ls -A "$BATS_TEST_TMPDIR/empty")" ''
}

@test "page server that is started under locks does not keep them" {
  # shellcheck disable=SC2016 # of that shell
  template-lock base new -- bash -c 'uffd-serve --control "$0" --ready-fd 9 9>ready </dev/null >/dev/null 2>&1 & echo $! >server' \
    "$BATS_TEST_TMPDIR/own.sock" 3>&- 4>&-
  spawned+=("$(<server)")
  wait_until 10 test -s ready
  run -0 template-lock holders base
  assert_equal "$output" ''
  run -0 template-lock --no-wait base new -- true
}
