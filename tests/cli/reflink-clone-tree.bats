#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone of trees: attributes, omitted entries, memory files.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

clone_a_tree_on() { # <filesystem>
  on "$1"
  make_guest guest
  umask 077
  run --separate-stderr -0 reflink-clone --json guest dst
  umask 022
  assert_only_copy_warning "$1" '5.0 MiB' "$stderr"
  assert_same_tree guest dst
  (($(blocks dst/overlay.raw) <= $(blocks guest/overlay.raw)))
  [[ dst/overlay.raw -ef dst/empty/the-same-disk ]]
  local method=copy
  can_reflink "$1" && method=reflink
  assert_equal "$(records 'select(.type == "total") | [.method, .files, .directories, .symlinks, .skipped]')" \
    "[\"$method\",9,5,2,0]"
  assert_equal "$(records 'select(.path == "dst/overlay.raw") | .method')" '"hardlink"'
  assert_equal "$(records 'select(.path_b64) | .method' | wc -l)" 1
  if can_reflink "$1"; then
    (($(own_extents dst/snapshots/snapshot-latest/memory) == 0))
  fi
  no_temporaries
}

@test "the clone of a tree on XFS keeps all attributes" { clone_a_tree_on xfs; }
@test "the clone of a tree on btrfs keeps all attributes" { clone_a_tree_on btrfs; }
@test "the clone of a tree on ext4 keeps all attributes" { clone_a_tree_on ext4; }
@test "the clone of a tree on tmpfs keeps all attributes" { clone_a_tree_on tmpfs; }

@test "a default ACL of the destination's parent is not inherited" {
  on xfs
  require_cmd setfacl
  make_guest guest
  mkdir parent
  setfacl -d -m u:4321:rwx parent
  reflink-clone -q guest parent/dst
  reflink-clone -q guest/metadata.json parent/file
  assert_same_tree guest parent/dst
  assert_equal "$(getfacl -n -c parent/file)" "$(getfacl -n -c guest/metadata.json)"
}

@test "attributes that the destination does not support are named" {
  on ext4
  mkdir ramfs tree
  mount -t ramfs ramfs ramfs || skip 'needs ramfs'
  mounted_dirs+=("$PWD/ramfs")
  printf text >tree/file
  setfattr -n user.colour -v green tree/file
  setfattr -n user.taste -v sweet tree
  run --separate-stderr -0 reflink-clone tree ramfs/dst
  assert_contains "$stderr" "2 not copied, the first is user.colour of 'ramfs/dst/file'"
  cmp tree/file ramfs/dst/file
}

@test "a set-id program of another user does not keep its set-id bit" {
  on xfs
  require_cmd setpriv
  mkdir tree mine
  printf text >tree/program
  chmod 6755 tree/program
  chown 1234:5678 tree/program
  chown 65534:65534 mine
  printf text >tree/read-only
  setfattr -n user.colour -v green tree/read-only
  chmod 0444 tree/read-only
  setpriv --reuid=65534 --regid=65534 --clear-groups "$(type -P reflink-clone)" -q tree mine/dst
  assert_equal "$(stat -c '%u %g %a' mine/dst/program)" '65534 65534 755'
  assert_equal "$(stat -c '%a' mine/dst/read-only)" 444
  assert_equal "$(getfattr --only-values -n user.colour mine/dst/read-only)" green
}

@test "deep and wide trees are cloned completely" {
  on xfs
  local i
  mkdir -p tree/wide
  (cd tree/wide && seq 5000 | xargs touch)
  # The total path is longer than PATH_MAX, with a hard link at the bottom.
  (
    cd tree
    for ((i = 0; i < 500; i++)); do
      mkdir level-of-a-deep-tree && cd level-of-a-deep-tree || exit 1
    done
    printf deep >file && ln file same
  )
  (
    ulimit -Sn 256 # raised by the program itself
    reflink-clone -q tree dst
  )
  assert_equal "$(find dst | wc -l)" "$(find tree | wc -l)"
  (
    for ((i = 0; i < 500; i++)); do cd dst/level-of-a-deep-tree 2>/dev/null || cd level-of-a-deep-tree; done
    [[ $(<file) == deep && file -ef same ]]
  )
  rm -rf tree dst
}

@test "--profile vm omits files of the running VMM" {
  make_guest guest
  mkdir guest/{logs,template,uffd} guest/snapshots/snapshot-base guest/kept.sock guest/kept.zst.tmp guest/odd/logs
  printf x | tee guest/{fc.sock,memory.lz4.tmp,memory.zst.tmp,.disk.snapfork-tmp} guest/logs/vmm.log \
    guest/kept.sock/x guest/odd/logs/x guest/template/x guest/uffd/x guest/snapshots/snapshot-base/memory >guest/odd/a.sock
  python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("guest/vsock")'
  run -0 reflink-clone --json --profile vm guest dst
  assert_equal "$(records 'select(.type == "total") | .skipped')" 10
  assert_equal "$(cd dst && find . | LC_ALL=C sort)" "$(cd guest && find . \( -path ./logs -o -path ./template \
    -o -path ./uffd -o -path ./snapshots/snapshot-base -o -name vsock -o -name '*.lz4.tmp' -o -name '.*.snapfork-tmp' \
    -o -type f -name '*.sock' -o -type f -name '*.zst.tmp' \) -prune -o -print | LC_ALL=C sort)"
  [[ -e dst/kept.sock/x && -d dst/kept.zst.tmp && -e dst/odd/logs/x ]]
  # Without the profile, only the socket is omitted.
  run -0 reflink-clone --json guest plain
  assert_equal "$(records 'select(.type == "total") | .skipped')" 1
  diff -r --no-dereference guest plain | grep -v 'vsock' && fail 'something is missing'
  true
}

@test "--exclude: names at any depth, paths from the source" {
  mkdir -p tree/a/b tree/c
  touch tree/x.log tree/a/x.log tree/a/b/y tree/c/y
  mkfifo tree/c/fifo
  run -0 reflink-clone -q --exclude '*.log' --exclude a/b --exclude '/c/f*' tree dst
  assert_equal "$(cd dst && find . | sort)" $'.\n./a\n./c\n./c/y'
}

@test "--memory links a sealed file, reflinks or copies" {
  on xfs
  make_guest guest
  local memory=snapshots/snapshot-latest/memory
  run --separate-stderr -1 reflink-clone --profile vm --memory=link guest dst
  assert_contains "$stderr" "'guest/$memory': it is not sealed"
  [[ $(ls -A) == guest ]]
  chmod 0444 guest/$memory
  local before
  before=$(stat -c '%y %a' guest/$memory)
  run -0 reflink-clone --json --profile vm --memory=link guest a b
  [[ a/$memory -ef guest/$memory && b/$memory -ef guest/$memory ]] || fail 'not one inode'
  assert_equal "$(stat -c '%h %y %a' guest/$memory)" "3 $before"
  assert_equal "$(records 'select(.type == "total") | [.method, .bytes_linked, .bytes_copied]' | uniq)" \
    '["reflink",2097152,0]'
  run -0 reflink-clone --json --profile vm --memory=reflink guest c
  [[ ! c/$memory -ef guest/$memory ]]
  cmp c/$memory guest/$memory
  run -0 reflink-clone --json --profile vm --memory=copy guest d
  assert_equal "$(records 'select(.type == "total") | [.method, .bytes_copied]')" '["mixed",2097152]'
  cmp d/$memory guest/$memory
  sync d/$memory
  (($(shared_extents d/$memory) == 0))
}

@test "--memory=link to another filesystem is unsupported, and leaves no destination" {
  on btrfs
  local there=$PWD
  on xfs
  make_guest guest
  chmod 0444 guest/snapshots/snapshot-latest/memory
  run --separate-stderr -3 reflink-clone --profile vm --memory=link guest "$there/dst"
  assert_contains "$stderr" '--memory=reflink'
  [[ -z $(ls -A "$there") ]]
}
