#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The paths in the states of forks, of imported guests and of moved stores: fork-publish, own-paths, fsck.
# shellcheck disable=SC2030,SC2031,SC2154,SC2317 # output, stderr and lines are set by run; functions called by name
load helpers
load snapshot-meta_helpers

setup() {
  common_setup
  export SNAPFORK_PAGER=$PWD/r/p.sock
}
teardown() { common_teardown; }

# Makes a guest whose state has these paths in drives, each with a disk d0, d1, ... of its own.
init_with_drives() { # <id> <path>...
  local id=$1 path kinds=() disks=() i=0
  shift
  init_guest "$id"
  for path; do
    kinds+=("drive=$path")
    disks+=("$(jq -nc --arg file "d$i" --arg path "$path" '{file: $file, embedded_path: $path}')")
    echo "disk of $path" >"$(guest_dir "$id")/d$i"
    i=$((i + 1))
  done
  replace_state "$id" 10.0.0 "${kinds[@]}" vsock=v.sock tap=tap7
  snapshot-meta set "$id" "snapfork.disks:=$(jq -sc . <<<"${disks[*]}")"
  snapshot-meta accept "$id"
}

paths_in() { # <id>: "KIND PATH", a line for each
  snapshot-meta vmstate --json "$(state_of "$1")" | jq -r '.paths[] | .kind + " " + .path'
}

disks_of() { # <id>: "FILE PATH", a line for each
  jq -r '.snapfork.disks[] | .file + " " + .embedded_path' "$(guest_dir "$1")/metadata.json"
}

promote() { # <id>
  chmod a-w "$(memory_of "$1")"
  snapshot-meta promote "$1"
}

refused_fork() { # <status> <part of the message>: of guest a
  local before
  before=$(store_picture)
  run --separate-stderr "-$1" snapshot-meta fork-begin a new
  assert_contains "$stderr" "$2"
  run --separate-stderr "-$1" snapshot-meta own-paths a
  assert_contains "$stderr" "$2"
  assert_equal "$(store_picture)" "$before"
}

@test "fork-publish writes the fork's own paths, whatever the paths of the source are" {
  local long
  long=/$(printf 'x%.0s' {1..299})
  init_with_drives a /srv/vm/root.img rel.img ./rel.img /one "$long" /srv//vm/../x.img "$(guest_dir a)/d9"
  promote a
  local before dir
  before=$(sha256sum "$(state_of a)")
  dir=$(guest_dir f)
  run -0 make_fork a f
  assert_equal "$(json '[.needs_run, .snapshot_load.snapshot_path] | map(tostring) | join(" ")')" "false $(state_of f)"
  assert_equal "$(paths_in f)" "$(printf "drive $dir/d%d\n" 0 1 2 3 4 5 6)"$'\n'"vsock $dir/vsock.sock"
  assert_equal "$(disks_of f)" "$(printf "d%d $dir/d%d\n" 0 0 1 1 2 2 3 3 4 4 5 5 6 6)"
  assert_contains "$(snapshot-meta vmstate "$(state_of f)")" $'crc_ok: yes'
  assert_contains "$(snapshot-meta vmstate "$(state_of f)")" 'tap: tap7'
  assert_equal "$(snapshot-meta verify f)" ok
  assert_equal "$(snapshot-meta state f)" Standby
  # The template keeps its state, from which the cache key is made.
  sha256sum --check --quiet <<<"$before"
  assert_equal "$(snapshot-meta get f FirecrackerSnapshotCacheKey)" "snapfork-$(tail -c 8 "$(state_of a)" | od -An -tx1 | tr -d ' \n')"
  # The state has the mode of the template's.
  chmod 640 "$(state_of a)"
  make_fork a g >/dev/null
  assert_equal "$(stat -c %a "$(state_of g)")" 640
}

@test "fork-publish needs no state in the clone, and does not use one that is there" {
  init_with_drives a /srv/vm/root.img
  promote a
  snapshot-meta fork-begin a f g >/dev/null
  clone a f link
  clone a g link
  rm "$SNAPFORK_ROOT/.snapfork/tmp/fork.f/snapshots/snapshot-latest/state"
  echo other >"$SNAPFORK_ROOT/.snapfork/tmp/fork.g/snapshots/snapshot-latest/state"
  snapshot-meta fork-publish a f g --backend file >/dev/null
  assert_equal "$(paths_in f)" "drive $(guest_dir f)/d0"$'\n'"vsock $(guest_dir f)/vsock.sock"
  assert_equal "$(paths_in g)" "drive $(guest_dir g)/d0"$'\n'"vsock $(guest_dir g)/vsock.sock"
}

@test "two drives of one path stay two drives of one file" {
  init_with_drives a /d/one
  replace_state a 10.0.0 drive=/d/one drive=/d/one
  make_fork a f >/dev/null
  assert_equal "$(paths_in f)" "drive $(guest_dir f)/d0"$'\n'"drive $(guest_dir f)/d0"
}

@test "a fork of a fork has its own paths" {
  init_with_drives a /srv/vm/root.img
  make_fork a b >/dev/null
  make_fork b c >/dev/null
  promote c
  make_fork c d >/dev/null
  local id
  for id in b c d; do
    assert_equal "$(paths_in "$id")" "drive $(guest_dir "$id")/d0"$'\n'"vsock $(guest_dir "$id")/vsock.sock"
    assert_equal "$(disks_of "$id")" "d0 $(guest_dir "$id")/d0"
    assert_equal "$(snapshot-meta verify "$id")" ok
  done
  # All have the key of the state that was imported first.
  assert_equal "$(snapshot-meta get b FirecrackerSnapshotCacheKey)" "$(snapshot-meta get d FirecrackerSnapshotCacheKey)"
}

@test "a path that no disk has is refused by name, and joined to no directory" {
  init_guest a
  mkdir -p "$(guest_dir a)/sub" "$(guest_dir a)/logs"
  local path
  echo victim >victim
  for path in "$(guest_dir a)/../../../victim" "/x/guests/a/../../../../../../..$PWD/victim" "/x/guests/a//d" /x/guests/a/./d \
    /x/guests/a/. /x/guests/a/.. guests/a/d $'/x/guests/a/d\u202e' /x/guests/a/metadata.json /x/guests/a/metadata.json.damaged-1 \
    /x/guests/a/snapshots/memory "$(memory_of a)" "$(state_of a)" /x/guests/a/logs/d /x/guests/a/sub/sub/d /x/guests/-a/d /x/guest/a/d /x/guests/a \
    /x/guests/a/v.sock "$PWD/victim" ../victim /; do
    # A file of each name exists, so that only the name can be the reason.
    : >"$(guest_dir a)/d"
    : >"$(guest_dir a)/d"$'\u202e'
    : >"$(guest_dir a)/sub/d"
    : >"$(guest_dir a)/logs/d"
    : >"$(guest_dir a)/v.sock"
    : >"$(guest_dir a)/metadata.json.damaged-1"
    replace_state a 10.0.0 "drive=$path"
    refused_fork 1 "its state names the drive '"
    assert_contains "$stderr" "it has no file for that; import the snapshot with --disk FILE=PATH"
  done
  # A state with such a path is not read at all.
  for path in $'/x/guests/a/d\x01' $'/x/guests/a/d\n' ''; do
    replace_state a 10.0.0 "drive=$path"
    refused_fork 3 'so loading it may open disks of another guest'
  done
  # The fault is not in the file.
  replace_state a 10.0.0 drive=/x/guests/b/d drive=/x/guests/b/sub/d
  run -0 snapshot-meta own-paths a
  assert_equal "$output" "drive	$(guest_dir a)/d"$'\n'"drive	$(guest_dir a)/sub/d"
  # A link in the place of the file is not followed; a directory or a missing file is not a drive.
  replace_state a 10.0.0 drive=/x/guests/b/d
  rm "$(guest_dir a)/d"
  refused_fork 1 "its file 'd' does not exist"
  mkdir "$(guest_dir a)/d"
  refused_fork 1 "its file 'd' does not exist"
  rmdir "$(guest_dir a)/d"
  ln -s "$PWD/victim" "$(guest_dir a)/d"
  refused_fork 4 'symbolic link'
}

@test "two paths for one file are refused" {
  init_guest a
  echo disk >"$(guest_dir a)/root.img"
  replace_state a 10.0.0 drive=/x/guests/b/root.img drive=/y/guests/c/root.img
  refused_fork 1 "the drive '/y/guests/c/root.img' and the drive '/x/guests/b/root.img', and both would become '"
}

@test "shared files stay, a vhost-user device is refused, and pmem files become the fork's own" {
  init_guest a
  replace_state a 10.0.0 ro-drive=/host/ro.img
  refused_fork 1 "the drive '/host/ro.img'"
  snapshot-meta set a 'snapfork.shared_files:=["/host/ro.img"]'
  replace_state a 10.0.0 drive=/host/ro.img
  refused_fork 1 "its state opens the drive '/host/ro.img' for writing, so it cannot be shared"
  replace_state a 10.0.0 ro-drive=/host/ro.img
  make_fork a f >/dev/null
  assert_equal "$(paths_in f)" 'drive /host/ro.img'
  assert_equal "$(snapshot-meta get f snapfork.shared_files)" '["/host/ro.img"]'
  for value in '"/host/ro.img"' '[1]' '{}'; do
    snapshot-meta set a "snapfork.shared_files:=$value"
    refused_fork 4 "cannot use 'snapfork.shared_files' in the metadata"
  done
  snapshot-meta unset a snapfork.shared_files
  replace_state a 10.0.0 vhost-user=/v/user.sock
  refused_fork 3 "Firecracker cannot restore its device, the vhost-user-block '/v/user.sock'"
  truncate -s 2M "$(guest_dir a)/p.img"
  replace_state a 10.0.0 pmem=/x/guests/b/p.img pmem-bytes=2097152
  make_fork a g >/dev/null
  assert_equal "$(paths_in g)" "pmem $(guest_dir g)/p.img"
}

@test "own-paths refuses a state whose devices cannot be read" {
  init_guest a
  replace_state a 7.0.0 drive=/d/one
  refused_fork 3 "the devices of snapshot version '7.0.0' cannot be read, so loading it may open disks of another guest"
  # On the caller's word it is copied as it is.
  snapshot-meta set a snapfork.assume_no_paths:=true
  run -0 snapshot-meta own-paths a
  assert_equal "$output" ''
  make_fork a f >/dev/null
  cmp "$(state_of a)" "$(state_of f)"
  assert_equal "$(snapshot-meta get f snapfork.assume_no_paths)" true
  # If the devices are understood, that word is not needed and has no effect.
  replace_state a 10.0.0 drive=/d/one
  refused_fork 1 "the drive '/d/one'"
}

@test "own-paths rewrites the state of an imported guest once, and writes nothing if it is right" {
  init_with_drives a /srv/vm/root.img rel.img
  local before dir
  dir=$(guest_dir a)
  before=$(store_picture)
  run -0 snapshot-meta own-paths --dry-run a
  assert_equal "$output" "drive	$dir/d0"$'\n'"drive	$dir/d1"$'\n'"vsock	$dir/vsock.sock"
  assert_equal "$(store_picture)" "$before"
  run -0 snapshot-meta own-paths --json a
  assert_equal "$(json '[.type, .v, .id, (.paths | length), .changes[1].from, .changes[1].to, .changes[2].kind] | map(tostring) | join(" ")')" \
    "own_paths 1 a 3 rel.img $dir/d1 vsock"
  assert_equal "$(paths_in a)" "drive $dir/d0"$'\n'"drive $dir/d1"$'\n'"vsock $dir/vsock.sock"
  assert_equal "$(disks_of a)" "d0 $dir/d0"$'\n'"d1 $dir/d1"
  assert_equal "$(snapshot-meta verify a)" ok
  before=$(stat -c '%i %z' "$(state_of a)" "$dir/metadata.json" "$dir")
  run -0 snapshot-meta own-paths --json a
  assert_equal "$(json '[(.paths | length), .changes] | map(tostring) | join(" ")')" '3 []'
  assert_equal "$(stat -c '%i %z' "$(state_of a)" "$dir/metadata.json" "$dir")" "$before"
  promote a
  run --separate-stderr -1 snapshot-meta own-paths a
  assert_contains "$stderr" "'a': it is a template, whose state is never changed"
  run --separate-stderr -1 snapshot-meta own-paths nobody
  run --separate-stderr -2 snapshot-meta own-paths
}

@test "own-paths refuses a guest whose VMM runs, unless the state is right" {
  init_with_drives a /srv/vm/root.img
  spawn tail -f /dev/null
  snapshot-meta run-begin --pid "$spawned_pid" a
  local before
  before=$(store_picture)
  run --separate-stderr -1 snapshot-meta own-paths a
  assert_contains "$stderr" "'a': it is Running: process $spawned_pid (tail)"
  assert_equal "$(store_picture)" "$before"
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  snapshot-meta own-paths a >/dev/null
  spawn tail -f /dev/null
  snapshot-meta run-begin --pid "$spawned_pid" a
  before=$(store_picture)
  run -0 snapshot-meta own-paths a
  assert_equal "$(store_picture)" "$before"
}

@test "own-paths refuses disks with each other's names" {
  init_with_drives a "$(guest_dir a)/d1" "$(guest_dir a)/d0"
  run --separate-stderr -1 snapshot-meta own-paths a
  assert_contains "$stderr" "its state has the name of its disk 'd1' for its disk 'd0'"
  # A fork has a directory of its own, so it can be made.
  make_fork a f >/dev/null
  assert_equal "$(paths_in f)" "drive $(guest_dir f)/d0"$'\n'"drive $(guest_dir f)/d1"$'\n'"vsock $(guest_dir f)/vsock.sock"
}

@test "own-paths killed at any system call can be completed" {
  require_cmd strace
  init_with_drives a /srv/vm/root.img rel.img
  cp -a "$SNAPFORK_ROOT" original
  local call n killed dir
  dir=$(guest_dir a)
  for call in rename openat fsync unlink write mkdir; do
    for ((n = 1; n <= 60; ++n)); do
      rm -rf "$SNAPFORK_ROOT"
      cp -a original "$SNAPFORK_ROOT"
      killed=0
      kill_at "$call" "$n" snapshot-meta own-paths a >/dev/null 2>&1 || killed=$?
      assert_equal "$(snapshot-meta state a)" Standby
      # Whatever was written, a fork has its own files, and the next call completes the work.
      snapshot-meta own-paths --dry-run a >/dev/null || fail "killed before $call number $n: dry run"
      run -0 snapshot-meta own-paths a
      assert_equal "$(paths_in a)" "drive $dir/d0"$'\n'"drive $dir/d1"$'\n'"vsock $dir/vsock.sock"
      assert_equal "$(disks_of a)" "d0 $dir/d0"$'\n'"d1 $dir/d1"
      run --separate-stderr -0 snapshot-meta fsck --repair
      if ((killed == 0)); then break; fi # `run` sets `status`
      ((killed == 137)) || fail "killed before $call number $n: status $killed"
    done
  done
}

@test "own-paths and fsck --repair rewrite the states of a store that was moved" {
  init_with_drives base /srv/vm/root.img
  promote base
  make_fork base f g h >/dev/null
  local old=$SNAPFORK_ROOT before id
  mv "$SNAPFORK_ROOT" moved
  export SNAPFORK_ROOT=$PWD/moved
  before=$(sha256sum "$(state_of base)")
  run --separate-stderr -1 snapshot-meta fsck --json
  assert_equal "$(jq -sr 'map(select(.type == "finding") | .problem + " " + .id + " " + .path) | join(",")' <<<"$output")" \
    "other_store f $(state_of f),other_store g $(state_of g),other_store h $(state_of h)"
  assert_contains "$output" 'names the files of this guest in another store'
  run -0 snapshot-meta own-paths f
  run -0 make_fork g i
  spawn tail -f /dev/null
  snapshot-meta run-begin --pid "$spawned_pid" h
  run --separate-stderr -1 snapshot-meta fsck --repair
  assert_contains "$output" "repaired: $(state_of g): "
  assert_contains "$output" "left: $(state_of h): it names the files of this guest in another store: cannot set the paths of 'h': it is Running"
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  run --separate-stderr -0 snapshot-meta fsck --repair
  for id in f g h i; do
    assert_equal "$(paths_in "$id")" "drive $(guest_dir "$id")/d0"$'\n'"vsock $(guest_dir "$id")/vsock.sock"
    assert_equal "$(disks_of "$id")" "d0 $(guest_dir "$id")/d0"
    assert_equal "$(snapshot-meta verify "$id")" ok
  done
  run --separate-stderr -0 snapshot-meta fsck
  assert_equal "$output" ''
  sha256sum --check --quiet <<<"$before"
  # The same store under another name is not another store.
  ln -s moved "$old"
  SNAPFORK_ROOT=$old run --separate-stderr -0 snapshot-meta fsck
  assert_equal "$output" ''
}

id_of_length() { # <length>
  printf 'f%.0s' $(seq 1 "$1")
}

@test "a vsock socket whose path is too long is in the run directory, or refused" {
  local run_dir fits long
  init_guest a vsock=v.sock
  # "/guests/ID/vsock.sock" has 19 bytes more than the id.
  fits=$(id_of_length $((96 - 19 - ${#SNAPFORK_ROOT})))
  long=$(id_of_length $((97 - 19 - ${#SNAPFORK_ROOT})))
  make_fork a "$fits" >/dev/null
  assert_equal "$(paths_in "$fits")" "vsock $(guest_dir "$fits")/vsock.sock"
  run_dir=$(mktemp -d /tmp/snapfork-XXXXXX)
  SNAPFORK_PAGER=$run_dir/r/p.sock make_fork a "$long" >/dev/null
  assert_equal "$(paths_in "$long")" "vsock $run_dir/r/v/$(snapshot-meta session-name "$long").sock"
  assert_equal "$(stat -c %a "$run_dir"/r{,/v} | uniq)" 700
  # After a restart of the machine, the run directory is empty.
  rm -r "$run_dir/r"
  SNAPFORK_PAGER=$run_dir/r/p.sock run -0 snapshot-meta own-paths "$long"
  assert_equal "$output" "vsock	$run_dir/r/v/$(snapshot-meta session-name "$long").sock"
  [[ -d $run_dir/r/v ]]
  # trash removes the socket there; one in the guest's directory goes with it.
  listen_and_die "$run_dir/r/v/$(snapshot-meta session-name "$long").sock"
  SNAPFORK_PAGER=$run_dir/r/p.sock snapshot-meta trash "$long" >/dev/null
  assert_equal "$(ls -A "$run_dir/r/v")" ''
  chmod 777 "$run_dir/r"
  SNAPFORK_PAGER=$run_dir/r/p.sock run --separate-stderr -1 make_fork a "${long}x"
  assert_contains "$stderr" "'$run_dir/r': others can write there, or it is not yours"
  snapshot-meta fork-end - "${long}x"
  SNAPFORK_PAGER=$run_dir/$(id_of_length 40)/p.sock run --separate-stderr -1 snapshot-meta fork-begin a "${long}x"
  assert_contains "$stderr" "its vsock socket, '$(guest_dir "${long}x")/vsock.sock', has 98 bytes, and 96 are the most"
  rm -r "$run_dir"
}

# Makes a socket that no process listens on.
listen_and_die() { # <path>
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$1"
}

@test "own-paths removes a socket that no process listens on, and no other file" {
  init_guest a vsock=v.sock
  local socket
  socket=$(guest_dir a)/vsock.sock
  snapshot-meta own-paths a >/dev/null
  listen_and_die "$socket"
  snapshot-meta own-paths --dry-run a >/dev/null
  [[ -S $socket ]]
  snapshot-meta own-paths a >/dev/null
  [[ ! -e $socket ]]
  spawn python3 -c 'import signal, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); signal.pause()' "$socket"
  wait_until 10 listens "$socket"
  run --separate-stderr -1 snapshot-meta own-paths a
  # shellcheck disable=SC2053 # a pattern
  [[ $stderr == *"'a': it runs: process $spawned_pid ("*"python3) listens on its vsock socket '$socket'" ]] || fail "$stderr"
  kill -KILL "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  snapshot-meta own-paths a >/dev/null
  [[ ! -e $socket ]]
  echo file >"$socket"
  run --separate-stderr -4 snapshot-meta own-paths a
  assert_contains "$stderr" "'$socket' is not a socket, and the VMM cannot make its vsock socket there; remove it"
  ln -sf "$PWD/victim" "$socket"
  listen_and_die victim
  run --separate-stderr -4 snapshot-meta own-paths a
  [[ -L $socket && -S victim ]]
}

listens() { # <path of a socket>
  grep -q " 00010000 .* $1\$" /proc/net/unix
}

@test "fork-publish refuses a snapshot that was written after the clone" {
  init_guest a
  snapshot-meta fork-begin a f >/dev/null
  clone a f reflink
  # Another manager writes a snapshot: first the state, then the memory.
  is_later() { [[ $(stat -c %z "$(state_of a)") > $(stat -c %z "$SNAPFORK_ROOT/.snapfork/tmp/fork.f/snapshots/snapshot-latest/memory") ]] || ! replace_state a 10.0.0; }
  wait_until 10 is_later
  run --separate-stderr -1 snapshot-meta fork-publish a f --backend file
  assert_contains "$stderr" "the snapshot of 'a' was written after the memory was cloned; start again with fork-begin"
  snapshot-meta fork-begin a f >/dev/null
  clone a f reflink
  printf x | dd of="$(memory_of a)" conv=notrunc status=none
  run --separate-stderr -1 snapshot-meta fork-publish a f --backend file
  assert_contains "$stderr" 'was written after the memory was cloned'
  [[ ! -e $(guest_dir f) ]]
  make_fork a f >/dev/null
}
