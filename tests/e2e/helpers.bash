# SPDX-License-Identifier: Apache-2.0
# helpers.bash: stores on real filesystems with a snapshot of a real Firecracker, and checks that nothing is left at
# the end.
# shellcheck shell=bash disable=SC2154 # output, stderr, lines and status are set by run

load ../cli/helpers
load ../mounts
load ../kill_servers

readonly FIXTURE=$BATS_TEST_DIRNAME/../fixtures/plain

# The page server must not hold the descriptors of bats.
snapfork() {
  command snapfork "$@" 3>&- 4>&-
}

# Once per file: unpacks the snapshot into $SNAPSHOT.
unpack_snapshot() {
  SNAPSHOT=$BATS_FILE_TMPDIR/snapshot
  [[ ! -e $SNAPSHOT ]] || return 0
  mkdir "$SNAPSHOT"
  cp "$FIXTURE/state" "$SNAPSHOT/state"
  zstd -q -d --long=27 "$FIXTURE/memory.zst" -o "$SNAPSHOT/memory"
}

# Makes a store for this test on a filesystem of that type.
make_store() { # <xfs|btrfs|ext4|tmpfs> [MiB]
  common_setup
  unpack_snapshot
  mount_fs "$1" "$BATS_TEST_TMPDIR/fs" "${2:-400}"
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/fs/store SNAPFORK_PAGER=$BATS_TEST_TMPDIR/run/p.sock
  mkdir "$SNAPFORK_ROOT"
}

make_template() { # [id]
  snapfork -q import "${1:-base}" --state "$SNAPSHOT/state" --memory "$SNAPSHOT/memory"
  snapfork -q promote "${1:-base}"
}

# Prints the pids of the page servers of this test, and of their keeper: none before it has chosen its control socket.
pager_pids() {
  local file words
  [[ -n ${SNAPFORK_PAGER-} ]] || return 0
  for file in /proc/[0-9]*/cmdline; do
    mapfile -d '' -t words <"$file" || continue
    # A keeper comes before its servers, so that a test that kills all ends it first.
    if [[ ${words[0]##*/} == uffd-@(serve|keeper) && "${words[*]} " == *" --control $SNAPFORK_PAGER "* ]]; then
      basename "${file%/cmdline}"
    fi
  done 2>/dev/null
}

serving_pid() { uffd-ctl health | jq .keeper.server_pid; }
has_one_keeper() { [[ $(pgrep -fc "^uffd-keeper .* --control $SNAPFORK_PAGER ") == 1 ]]; }

no_pager() {
  [[ -z $(pager_pids) ]]
}

drop_store() {
  [[ -z ${SNAPFORK_PAGER-} ]] || kill_servers_at "$SNAPFORK_PAGER"
  common_teardown
  unmount_all
}

# Prints everything in the store except lock files, which refused commands leave, too.
store_listing() {
  find "$SNAPFORK_ROOT" -mindepth 1 ! -path "$SNAPFORK_ROOT/.snapfork/locks*" -printf '%P %y %n %s\n' | sort
}

# Checks that there is no guest, leftover, session, server or mount.
assert_nothing_left() {
  local left
  wait_until 10 no_pager
  left=$(find "$SNAPFORK_ROOT/guests" "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1)
  left+=$(find "$BATS_TEST_TMPDIR/run" ! -type d ! -name '*.log' ! -name '*.lock' 2>/dev/null || true)
  left+=$(grep -F " $BATS_TEST_TMPDIR/" /proc/self/mountinfo | grep -vF " $BATS_TEST_TMPDIR/fs " || true)
  assert_equal "$left" ''
}

# Starts a VMM that has touched some pages and runs until the end of the test; its pid is in $vmm.
hold_vmm() { # <socket>
  local stay=$BATS_TEST_TMPDIR/stay log=$BATS_TEST_TMPDIR/vmm.log
  [[ -p $stay ]] || mkfifo "$stay"
  # shellcheck disable=SC2016 # expanded by the inner shell
  spawn_to "$log" bash -c 'exec uffd-probe --hold --pages 10 --socket "$1" --mem "$2" <>"$3"' _ "$1" "$SNAPSHOT/memory" "$stay"
  wait_until 20 grep -q ready "$log" || fail "$(<"$log")"
  read -r vmm _ <"${1%.sock}.vmm"
  spawned+=("$vmm")
}

field() { # <jq filter>: of each record in $output
  jq -r "$1" <<<"$output"
}
