# SPDX-License-Identifier: Apache-2.0
# standby_guest.bash: guests whose VMM is fake-firecracker, for tests of standby. A file that loads this also loads
# fake_firecracker.bash, and has a store at SNAPFORK_ROOT.
# shellcheck shell=bash disable=SC2154 # fake_pid

readonly WORK_PAGES=3 # that the guest writes to whenever it is resumed

# Makes a guest in Standby, with random memory and a disk of its own. Its inputs stay in $BATS_TEST_TMPDIR/ID.
make_guest() { # <id> [MiB] [argument of write-vmstate]...
  local id=$1 mib=${2:-4} source=$BATS_TEST_TMPDIR/$1
  mkdir -p "$source"
  "$HELPERS/write-vmstate" "$source/state" 10.0.0 "$mib" drive="$SNAPFORK_ROOT/guests/$id/disk.raw" "${@:3}"
  head -c 1M /dev/urandom >"$source/memory"
  truncate -s "${mib}M" "$source/memory"
  printf '%4096s' x >"$source/disk.raw"
  snapfork -q import "$id" --state "$source/state" --memory "$source/memory" \
    --disk "$source/disk.raw=$SNAPFORK_ROOT/guests/$id/disk.raw"
}

# Starts a VMM for it, from its file or from the session at the page server.
run_guest() { # <id> [socket of the session] [object: more fields of the load]
  local latest=$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest type=File
  [[ -z ${2-} ]] || type=Uffd
  snapshot-meta unset "$1" SocketPath # of its last VMM, which has the same
  FAKE_WORK=$WORK_PAGES fake_start "$1"
  snapshot-meta run-begin --pid "${fake_pid[$1]}" "$1"
  snapshot-meta set "$1" "SocketPath=$(fake_dir "$1")/api.sock"
  fake_api "$1" PUT /snapshot/load "$(fake_load_body "$latest/state" "${2:-$latest/memory}" "$type" "${3:-null}")"
}

pause_and_write() { # <id> [Full|Diff]
  local new=$SNAPFORK_ROOT/.snapfork/tmp/standby.$1
  fake_api "$1" PATCH /vm '{"state":"Paused"}'
  fake_api "$1" PUT /snapshot/create \
    "{\"snapshot_type\":\"${2:-Full}\",\"snapshot_path\":\"$new/state\",\"mem_file_path\":\"$new/memory\"}"
}

# Checks that the guest's snapshot is that of a guest which was resumed so often: the first word of each page that it
# writes to is greater by that number, and nothing else differs.
guest_worked() { # <id> [the memory before] [how often: 1]
  local memory=$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory before=${2:-} page size i
  [[ -n $before ]] || before=$BATS_TEST_TMPDIR/$1/memory
  [[ -e $before ]] || before=$BATS_TEST_TMPDIR/base/memory
  size=$(stat --format=%s "$memory")
  cp -- "$before" "$BATS_TEST_TMPDIR/expected"
  for ((i = 0; i < WORK_PAGES * ${3:-1}; i++)); do
    page=$((i % WORK_PAGES * (size / 4096 / WORK_PAGES)))
    add_one "$BATS_TEST_TMPDIR/expected" $((page * 4096))
  done
  cmp "$memory" "$BATS_TEST_TMPDIR/expected"
}

add_one() { # <file> <offset>: to a 64-bit word, little-endian
  local bytes byte i text=''
  read -ra bytes < <(od -An -v -tu1 -j "$2" -N 8 "$1")
  for ((i = 0; i < 8; i++)); do
    byte=$(((bytes[i] + 1) % 256)) bytes[i]=$byte
    ((!byte)) || break
  done
  for byte in "${bytes[@]}"; do
    printf -v byte '\\x%02x' "$byte"
    text+=$byte
  done
  printf '%b' "$text" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
