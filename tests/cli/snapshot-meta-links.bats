#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Links, mounts and second names in a store: nothing is reached, changed or removed through them.
# shellcheck disable=SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers
load ../mounts

setup() {
  common_setup
  mkdir -p elsewhere/sub
  echo precious >elsewhere/sub/file
}
teardown() {
  common_teardown
  unmount_all
}

bind() { # <directory> <on>
  require_root
  mount --bind "$1" "$2" || skip 'cannot mount here'
  mounted_dirs+=("$2")
}

# A template with two forks, and second names for it: a link, a copy, a renamed guest.
make_aliases() {
  init_template base
  make_fork base f1 f2 >/dev/null
  ln -s base "$(guest_dir alias)"
  ln -s "$PWD/elsewhere" "$(guest_dir outside)"
  cp -a "$(guest_dir base)" "$(guest_dir copy)"
}

@test "trap: every verb refuses a link to a guest or a copy of it, and changes nothing" {
  local id call before
  mkdir -p run/s # of page servers
  export SNAPFORK_PAGER=$PWD/run/pager.sock
  make_aliases
  before=$(store_picture)
  for id in alias outside copy; do
    for call in "show $id" "state $id" "get $id Id" "set $id X=1" "unset $id X" "forks $id" "trash $id" \
      "promote $id" "demote $id" "verify $id" "own-paths $id" "guard-create --type full $id" "fork-begin $id new"; do
      # shellcheck disable=SC2086 # the words are meant
      run --separate-stderr snapshot-meta $call
      ((status == 4)) || fail "$call: status $status"
      assert_contains "$stderr" "cannot use guest '$id'"
    done
    for call in "guard --for delete $id" "guard --for write $id" "seal $id" "unseal $id"; do
      # shellcheck disable=SC2086 # the words are meant
      run --separate-stderr template-lock $call
      ((status == 4)) || fail "$call: status $status"
    done
  done
  # Under the exclusive lock, where stale entries are dropped.
  run -4 template-lock --exclusive alias -- template-lock guard --for delete alias
  assert_equal "$(store_picture)" "$before"
  assert_equal "$(snapshot-meta list --json | jq -rs 'map(select(.state == "Broken").id) | join(" ")')" 'alias copy outside'
}

@test "trap: fsck --repair reports a second name for a template and drops no entry" {
  make_aliases
  run --separate-stderr -1 snapshot-meta fsck --repair --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | .outcome + " " + .problem + " " + .id) | join(",")' <<<"$output")" \
    'left not_a_guest alias,left not_a_guest outside,left wrong_id copy'
  assert_equal "$(snapshot-meta forks base)" $'f1\nf2'
  # The template was renamed. No fork has the new name in ForkOfTemplate.
  rm -r "$(guest_dir alias)" "$(guest_dir outside)" "$(guest_dir copy)"
  mv "$(guest_dir base)" "$(guest_dir renamed)"
  run --separate-stderr -1 snapshot-meta fsck --json
  assert_equal "$(find "$(guest_dir renamed)/template/forks" -type f -printf '%f\n' | sort)" $'f1\nf2'
}

@test "fsck reports a copy of a template that links its memory" {
  init_template base
  reflink-clone --profile vm --memory=link "$(guest_dir base)" "$(guest_dir naive)"
  run --separate-stderr -1 snapshot-meta fsck --json
  assert_equal "$(jq -rs 'map(select(.type == "finding") | .problem + " " + .id) | join(",")' <<<"$output")" \
    'wrong_id naive,shared_memory base'
}

@test "trap: links in .snapfork, trash, tmp and locks are not followed" {
  local name before
  init_guest a
  mkdir -p "$SNAPFORK_ROOT"/.snapfork/{tmp,trash}
  for name in trash/v tmp/fork.v tmp/import.v tmp/init.v; do
    ln -s "$PWD/elsewhere" "$SNAPFORK_ROOT/.snapfork/$name"
  done
  run -0 snapshot-meta purge v
  assert_equal "$(find "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} -mindepth 1)" ''
  ln -s "$PWD/elsewhere" "$SNAPFORK_ROOT/.snapfork/trash/v"
  run -0 snapshot-meta fsck --repair
  for name in trash tmp locks; do
    mv "$SNAPFORK_ROOT/.snapfork/$name" aside
    ln -s "$PWD/elsewhere" "$SNAPFORK_ROOT/.snapfork/$name"
    mkdir -p elsewhere/fork.a elsewhere/a
    before=$(find elsewhere | sort)
    if [[ $name != locks ]]; then
      run --separate-stderr -4 snapshot-meta purge sub
      run --separate-stderr -4 snapshot-meta fsck --repair
    fi
    [[ $name == tmp ]] || run --separate-stderr -4 snapshot-meta trash a
    assert_equal "$(find elsewhere | sort)" "$before"
    rm "$SNAPFORK_ROOT/.snapfork/$name"
    mv aside "$SNAPFORK_ROOT/.snapfork/$name"
  done
  [[ -e $(guest_dir a)/metadata.json && -e elsewhere/sub/file ]]
}

@test "trap: no entry is read, made or removed through a link at template/forks" {
  init_template base
  mv "$(guest_dir base)/template/forks" elsewhere/forks
  : >elsewhere/forks/ghost
  ln -s "$PWD/elsewhere/forks" "$(guest_dir base)/template/forks"
  for call in 'fork-begin base f' 'demote base' 'trash base' 'forks base'; do
    # shellcheck disable=SC2086 # the words are meant
    run --separate-stderr -4 snapshot-meta $call
    assert_contains "$stderr" 'symbolic link'
  done
  run -1 snapshot-meta fsck --repair
  assert_equal "$(ls elsewhere/forks)" ghost
}

@test "trap: a removal does not enter a mount below a guest, in the trash or in a leftover" {
  local trash=$SNAPFORK_ROOT/.snapfork/trash tmp=$SNAPFORK_ROOT/.snapfork/tmp
  init_guest a
  mkdir "$(guest_dir a)/data"
  bind elsewhere "$(guest_dir a)/data"
  run --separate-stderr -1 snapshot-meta trash a
  assert_contains "$stderr" "'$(guest_dir a)/data': it is a mount point; unmount it first"
  [[ -e $(guest_dir a)/metadata.json ]]
  mkdir -p "$trash/b/data" "$tmp/fork.b/data"
  echo kept >"$trash/b/disk"
  bind elsewhere "$trash/b/data"
  bind elsewhere "$tmp/fork.b/data"
  run --separate-stderr -1 snapshot-meta purge b
  run --separate-stderr -1 snapshot-meta fsck --repair
  assert_equal "$(<elsewhere/sub/file) $(<"$trash/b/disk")" 'precious kept'
  umount "$(guest_dir a)/data" "$trash/b/data" "$tmp/fork.b/data"
  run -0 snapshot-meta purge b
  run -0 snapshot-meta trash a
  run -0 snapshot-meta purge a
  assert_equal "$(find "$trash" "$tmp" -mindepth 1)" ''
  [[ -e elsewhere/sub/file ]]
}

@test "purge removes the files, index entry and metadata of a deleted guest; a second purge finds nothing" {
  local trash=$SNAPFORK_ROOT/.snapfork/trash
  init_template a
  make_fork a f g >/dev/null
  snapshot-meta trash f >/dev/null
  snapshot-meta fork-begin a h >/dev/null
  mkdir "$SNAPFORK_ROOT/.snapfork/tmp/fork.f"
  run -0 snapshot-meta purge --dry-run f
  assert_equal "$output" "would remove $SNAPFORK_ROOT/.snapfork/tmp/fork.f"$'\n'"would remove $trash/f"
  run -0 snapshot-meta purge --json f
  assert_equal "$(json '.removed | length')" 2
  assert_equal "$(ls "$(guest_dir a)/template/forks")" $'g\nh'
  run -0 snapshot-meta purge f
  assert_equal "$output" ''
  # An index entry is the only leftover of a fork.
  run -0 snapshot-meta purge h
  assert_equal "$(ls "$(guest_dir a)/template/forks")" g
  # A guest with this id and its index entry remain.
  mkdir "$SNAPFORK_ROOT/.snapfork/tmp/fork.g"
  run -0 snapshot-meta purge g
  assert_equal "$(snapshot-meta forks a) $(snapshot-meta verify g)" 'g ok'
}

@test "purge does not wait for a program that uses a leftover, and takes the lock of the id" {
  mkdir -p "$SNAPFORK_ROOT/.snapfork/tmp/.fork.x.snapfork-tmp"
  run --separate-stderr -1 flock "$SNAPFORK_ROOT/.snapfork/tmp/.fork.x.snapfork-tmp" snapshot-meta purge x
  assert_contains "$stderr" 'another program is using it'
  run --separate-stderr -1 template-lock --shared x -- snapshot-meta purge x
  assert_contains "$stderr" 'the inherited lock is shared'
  run -0 template-lock --exclusive x -- snapshot-meta purge x
  assert_equal "$(find "$SNAPFORK_ROOT/.snapfork/tmp" -mindepth 1)" ''
}

@test "purge killed at any system call loses no fork, and the next call finishes" {
  require_cmd strace
  local nth killed=0
  init_template a
  for nth in {1..40}; do
    make_fork a f >/dev/null
    snapshot-meta trash f >/dev/null
    if kill_at unlinkat "$nth" snapshot-meta purge f 2>/dev/null; then break; fi
    killed=$nth
    run -0 snapshot-meta purge f
    assert_equal "$(find "$SNAPFORK_ROOT"/.snapfork/{tmp,trash} "$(guest_dir a)/template/forks" -mindepth 1)" ''
  done
  ((killed >= 5 && nth < 40))
}

# ---- snapshots and disks that are links: forks would share the target

@test "trap: a snapshot with a link in its path is Broken, and promote and fork refuse it" {
  local part dir
  init_guest a
  dir=$(guest_dir a)
  for part in snapshots snapshots/snapshot-latest snapshots/snapshot-latest/memory snapshots/snapshot-latest/state; do
    mv "$dir/$part" elsewhere/part
    ln -s "$PWD/elsewhere/part" "$dir/$part"
    run --separate-stderr -0 snapshot-meta state a
    assert_equal "$output" Broken
    assert_contains "$stderr" "'$part' is a symbolic link"
    for call in 'promote a' 'fork-begin a f'; do
      # shellcheck disable=SC2086 # the words are meant
      run --separate-stderr -1 snapshot-meta $call
      assert_contains "$stderr" "'$part' is a symbolic link"
    done
    [[ $part == */state ]] || run --separate-stderr -4 template-lock seal a
    rm "$dir/$part"
    mv elsewhere/part "$dir/$part"
  done
  assert_equal "$(snapshot-meta state a)" Standby
}

@test "trap: fork refuses a disk that is a link out of the guest, and clones a link inside it" {
  local text
  mkdir guest
  echo disk >guest/disk
  ln -s disk guest/inside
  run -0 reflink-clone --profile vm guest dst
  assert_equal "$(readlink dst/inside)" disk
  for text in "$PWD/guest/disk" ../elsewhere/sub/file sub/../../elsewhere; do
    ln -s "$text" guest/root.ext4
    run --separate-stderr -4 reflink-clone --profile vm guest dst2
    assert_contains "$stderr" "guest/root.ext4': it is a symbolic link out of the directory"
    [[ ! -e dst2 ]]
    run -0 reflink-clone guest dst3 # a plain clone keeps links as they are
    rm -r guest/root.ext4 dst3
  done
}

@test "trap: promote refuses a disk that is a link out of the guest" {
  init_guest a
  ln -s "$PWD/elsewhere/disk" "$(guest_dir a)/overlay.raw"
  run --separate-stderr -4 snapfork promote a
  assert_contains "$stderr" "overlay.raw': it is a symbolic link out of the directory"
  assert_equal "$(snapshot-meta state a)" Standby
  rm "$(guest_dir a)/overlay.raw"
  run -0 snapfork -q promote a
}

@test "trap: a fork whose snapshot is a link to its template's cannot be written or restored" {
  local part dir intent
  init_template a
  make_fork a f
  dir=$(guest_dir f)
  for part in snapshots snapshots/snapshot-latest snapshots/snapshot-latest/memory; do
    rm -r "${dir:?}/$part"
    ln -s "$(guest_dir a)/$part" "$dir/$part"
    for intent in write restore; do
      run -1 template-lock guard --for "$intent" f
      assert_contains "$output" 'symbolic link'
    done
    run -1 snapshot-meta guard-create --type full f
    assert_contains "$output" 'symbolic link'
    rm "$dir/$part"
    cp -al "$(guest_dir a)/$part" "$dir/$part"
  done
  run -1 template-lock guard --for write f
  assert_contains "$output" ' links, so other guests share it'
  run -0 template-lock guard --for restore f
}

@test "verify --deep of a fork compares its memory with the digest of its template" {
  local memory
  init_template a
  make_fork a f
  run --separate-stderr -0 snapshot-meta verify --deep f
  assert_equal "$output$stderr" ok
  memory=$(guest_dir a)/snapshots/snapshot-latest/memory
  chmod u+w "$memory"
  printf X | dd of="$memory" bs=1 seek=5 conv=notrunc status=none
  run --separate-stderr -1 snapshot-meta verify --deep f
  assert_contains "$stderr" "'f': its memory changed after its template 'a' was promoted: the digest differs"
  run --separate-stderr -0 snapshot-meta verify f
  init_guest b
  run --separate-stderr -0 snapshot-meta verify --deep b
  assert_contains "$stderr" "did not compare the contents of the memory of 'b': no digest of it is recorded"
}

# ---- permissions of the store

@test "fsck closes a store that other users may read, but accepts modes 0711 and 0750" {
  local mode
  init_guest a
  chmod 755 "$SNAPFORK_ROOT/guests"
  run --separate-stderr -1 snapshot-meta fsck
  assert_contains "$output" "found: $SNAPFORK_ROOT/guests: other users may read"
  assert_equal "$(stat -c %a "$SNAPFORK_ROOT/guests")" 755
  run --separate-stderr -0 snapshot-meta fsck --repair
  assert_equal "$(stat -c %a "$SNAPFORK_ROOT/guests")" 700
  for mode in 711 750; do
    chmod "$mode" "$SNAPFORK_ROOT/guests"
    run --separate-stderr -0 snapshot-meta fsck
  done
}

@test "metadata.json keeps its mode, owner and extended attributes when it is rewritten" {
  require_root
  require_cmd setfattr
  local file
  init_guest a
  file=$(guest_dir a)/metadata.json
  chmod 600 "$file"
  chown 65534:65534 "$file"
  setfattr -n user.note -v kept "$file" || skip 'no user attributes here'
  snapshot-meta set a Name=b
  assert_equal "$(stat -c '%a %u %g' "$file") $(getfattr --only-values -n user.note "$file" 2>/dev/null)" '600 65534 65534 kept'
  assert_equal "$(snapshot-meta get a Name)" b
}

@test "a second demote finishes one that was interrupted after it cleared IsTemplate" {
  init_template a
  kill_at unlinkat 1 snapshot-meta demote a || true
  assert_equal "$(snapshot-meta get a IsTemplate)" false
  run -0 snapshot-meta demote a
  [[ ! -e $(guest_dir a)/template ]]
  run -0 template-lock unseal a
  run --separate-stderr -1 snapshot-meta demote a
  assert_contains "$stderr" 'it is not a template'
}
