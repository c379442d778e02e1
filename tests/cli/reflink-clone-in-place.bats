#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# reflink-clone: --unshare, --dig, --sparse: own inodes, and holes for zeros.
# shellcheck disable=SC2154 # output, stderr, lines and status are set by run
# shellcheck disable=SC2030,SC2031 # each test is a subshell of its own, on purpose

load helpers
load ../mounts
load reflink-clone_helpers

unshare_on() { # <filesystem>
  on "$1"
  make_disk memory
  touch -d '2001-02-03 04:05:06.123456789' memory
  chown 1234:5678 memory
  chmod 0444 memory
  cp memory expected
  ln memory other
  local old
  old=$(inode other)
  run -0 reflink-clone --json --unshare memory
  assert_equal "$(records '[.type, .links, .method]')" \
    "$(can_reflink "$1" && echo '["in_place",2,"reflink"]' || echo '["in_place",2,"copy"]')"
  assert_equal "$(inode other)" "$old"
  [[ $(inode memory) != "$old" ]] || fail 'still one inode'
  assert_equal "$(stat -c '%a %u %g %h %y' memory)" '644 1234 5678 1 2001-02-03 04:05:06.123456789 +0000'
  assert_equal "$(stat -c '%a %h' other)" '444 1'
  cmp memory expected
  (($(blocks memory) <= $(blocks other)))
  old=$(inode memory)
  run -0 reflink-clone --unshare memory
  assert_contains "$output" 'no other link'
  assert_equal "$(inode memory)" "$old"
  no_temporaries
}

@test "--unshare on XFS: an inode of its own, writable" { unshare_on xfs; }
@test "--unshare on btrfs: an inode of its own, writable" { unshare_on btrfs; }
@test "--unshare on ext4: an inode of its own, writable" { unshare_on ext4; }
@test "--unshare on tmpfs: an inode of its own, writable" { unshare_on tmpfs; }

dig_on() { # <filesystem>
  on "$1"
  {
    head -c 1500000 /dev/zero
    printf x
    head -c 1645727 /dev/zero
    printf yy
  } >file
  touch -d '2001-02-03 04:05:06.123456789' file
  cp file expected
  sync file
  local dug=$((3 * 1048576 - 4096)) before
  before=$(blocks file)
  run -0 reflink-clone --json --dry-run --dig file
  assert_equal "$(records '[.bytes_dug, .dry_run]') $(blocks file)" "[$dug,true] $before"
  if can_reflink "$1"; then
    run -0 reflink-clone --json --dry-run --dig file clone
    assert_equal "$(records 'select(.type == "file") | [.bytes_dug, .bytes_shared]')" "[$dug,4098]"
    [[ ! -e clone ]]
  fi
  run -0 reflink-clone --json --dig file clone
  assert_equal "$(records 'select(.type == "file") | [.bytes_dug, .bytes_shared + .bytes_copied]')" "[$dug,4098]"
  run -0 reflink-clone --json --dig file
  assert_equal "$(records '[.type, .method, .bytes_dug]')" "[\"in_place\",\"none\",$dug]"
  local name
  for name in file clone; do
    cmp $name expected
    sync $name
    assert_equal "$(stat -c '%y' $name)" '2001-02-03 04:05:06.123456789 +0000'
    # Two blocks of 4 KiB; the blocks of this ext4 are smaller.
    (($(blocks $name) <= 16)) || fail "$name takes $(blocks $name) blocks"
  done
}

@test "--dig on XFS: zeros become holes, in place and in a clone" { dig_on xfs; }
@test "--dig on btrfs: zeros become holes, in place and in a clone" { dig_on btrfs; }
@test "--dig on ext4: zeros become holes, in place and in a clone" { dig_on ext4; }
@test "--dig on tmpfs: zeros become holes, in place and in a clone" { dig_on tmpfs; }

@test "--dig never writes into an inode with several links" {
  head -c 1M /dev/zero >file
  ln file other
  run --separate-stderr -1 reflink-clone --dig file
  assert_contains "$stderr" 'add --unshare'
  (($(blocks file) >= 2048))
  run -0 reflink-clone -q --unshare --dig file
  (($(blocks file) == 0))
  (($(blocks other) >= 2048))
  cmp file other
}

@test "--unshare and --dig refuse a file that is not a regular file" {
  printf x >file
  ln -s file link
  mkdir directory
  local name
  for name in link directory /dev/null; do
    run --separate-stderr -4 reflink-clone --unshare "$name"
    assert_contains "$stderr" "'$name'"
    run -4 reflink-clone --dig "$name"
  done
  run -5 reflink-clone --unshare absent
}

@test "--dig leaves scattered zero pages and makes only few, long holes" {
  on xfs
  # 3000 single zero pages, then 1500 runs of 64 KiB and one of 1 MiB.
  python3 - <<'PYTHON'
import os
page, zero = os.urandom(4096), bytes(4096)
with open("memory", "wb") as f:
    for i in range(3000): f.write(page + zero)
    for i in range(1500): f.write(page + zero * 16)
    f.write(page + zero * 256 + page)
PYTHON
  cp memory expected
  run -0 reflink-clone --json --dig memory dst
  local dug=$(((999 - $(records 'select(.type == "file") | .extents')) * 65536 + 1048576))
  assert_equal "$(records 'select(.type == "file") | [.method, .bytes_dug]')" "[\"reflink\",$dug]"
  cmp dst expected
  # Except for the blocks of the extent list itself.
  (($(blocks dst) - ($(blocks memory) - dug / 512) < 128)) || fail "$(blocks dst) blocks"
  (($(records 'select(.type == "file") | .extents_after') <= 1000)) || fail 'more extents than holes'
  run -0 reflink-clone --json --jobs 2 --dig memory
  assert_equal "$(records .bytes_dug)" "$dug"
  cmp memory expected
  # Repeated runs do not add extents.
  reflink-clone -q --dig memory
  (($(extents memory) <= 1000)) || fail "$(extents memory) extents"
  cmp memory expected
}

@test "--dig refuses a file that is open for writing, and names the process" {
  on xfs
  head -c 1M /dev/zero >file
  exec {writer}<>file
  run --separate-stderr -1 reflink-clone --dig file
  assert_contains "$stderr" "'file': it is being written to; process $BASHPID ("
  exec {writer}>&-
  (($(blocks file) >= 2048))
  run -0 reflink-clone --dig file
  (($(blocks file) == 0))
}

@test "--sparse makes holes in copies and leaves what is shared" {
  on ext4
  { head -c 1M /dev/zero && printf x && head -c 3M /dev/zero; } >src
  run -0 reflink-clone --json --sparse src dst
  assert_equal "$(records 'select(.type == "file") | [.method, .bytes_dug]')" "[\"copy\",$((4194305 - 4097))]"
  cmp src dst
  sync dst
  (($(blocks dst) <= 16))
  # Without --sparse, zeros stay data: 3 MiB more.
  run -0 reflink-clone --json src plain
  sync plain
  (($(blocks plain) >= 8192))
  on xfs
  head -c 1M /dev/zero >src
  run -0 reflink-clone --json --sparse src dst
  assert_equal "$(records 'select(.type == "file") | [.method, .bytes_dug]')" '["reflink",0]'
}
