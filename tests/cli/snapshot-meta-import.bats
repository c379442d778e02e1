#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta init: which file belongs to which path of the state, and what is recorded about a snapshot.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

init_a() { # [option of init]...
  run --separate-stderr snapshot-meta init a --state state --memory memory "$@"
}

# Checks that init refuses, and changes nothing.
refuses() { # <status> <part of the message> [option of init]...
  init_a "${@:3}"
  assert_equal "$status" "$1"
  assert_contains "$stderr" "$2"
  [[ -e state && -e memory && ! -e $(guest_dir a) ]]
}

recorded_disks() {
  snapshot-meta get a snapfork.disks | jq -r 'map(.file + "<-" + .embedded_path) | join(" ")'
}

# ---- which file belongs to which path

@test "a disk takes the path as it stands in the state, relative or absolute" {
  echo disk >one.raw
  cp one.raw two.raw
  make_snapshot drive=images/one.raw drive=/d/two=2.raw
  init_a --disk one.raw=images/one.raw --disk two.raw=/d/two=2.raw
  assert_equal "$status" 0
  assert_equal "$(recorded_disks)" 'one.raw<-images/one.raw two.raw<-/d/two=2.raw'
}

@test "a disk without a path has the path that the state names, relative or absolute" {
  echo disk >one.raw
  cp one.raw two.raw
  make_snapshot drive=one.raw "drive=$PWD/two.raw"
  init_a --disk one.raw --disk two.raw
  assert_equal "$status" 0
  assert_equal "$(recorded_disks)" "one.raw<-one.raw two.raw<-$PWD/two.raw"
}

@test "the first = that leaves the name of an existing file divides a disk from its path" {
  local name path
  mkdir d=
  for name in a=b d=/x=y plain; do
    for path in p /p c=d =p; do
      rm -rf "$(guest_dir a)"
      make_snapshot "drive=$path"
      echo disk >"$name"
      init_a --disk "$name=$path"
      assert_equal "$status" 0
      assert_equal "$(recorded_disks)" "${name##*/}<-$path"
    done
  done
  # A directory is not a file.
  mkdir dir
  echo disk >'dir=x'
  make_snapshot drive=p
  rm -rf "$(guest_dir a)"
  init_a --disk 'dir=x=p'
  assert_equal "$(recorded_disks)" 'dir=x<-p'
}

@test "init --dry-run --print-disks prints file and path of each disk" {
  printf x >$'n\nl'
  echo disk >one.raw
  make_snapshot drive=p drive=/q
  snapshot-meta init a --dry-run --print-disks --state state --memory memory --disk $'n\nl=p' --disk one.raw=/q >printed
  printf '%s\0' $'n\nl' p one.raw /q >expected
  cmp printed expected
  refuses 2 '--print-disks requires --dry-run' --print-disks --disk one.raw=p
}

@test "init refuses a drive and a pmem device without a file, by name" {
  echo disk >one.raw
  make_snapshot drive=/d/one drive=two pmem=/d/pmem vsock=/v.sock
  refuses 1 "'state': it names drive 'two', pmem '/d/pmem', and forks would open these files of the host; add --disk FILE=PATH" \
    --disk one.raw=/d/one
  refuses 1 "drive '/d/one', drive 'two', pmem '/d/pmem'"
  make_snapshot vsock=/v.sock
  init_a
  assert_equal "$status" 0
}

@test "init refuses one path for two disks" {
  echo disk >one.raw
  cp one.raw two.raw
  make_snapshot drive=/d/one
  refuses 2 "the path '/d/one' is given to two disks" --disk one.raw=/d/one --disk two.raw=/d/one
}

@test "paths of the state with .. and empty components name the given file, and nothing else" {
  local path
  echo disk >one.raw
  for path in ../../../etc/passwd .. / '' //d//one /d/../../x; do
    rm -rf "$(guest_dir a)"
    make_snapshot "drive=$path"
    init_a --disk "one.raw=$path"
    if [[ -z $path ]]; then # no file has this name, so such devices are not understood
      assert_equal "$status" 4
      continue
    fi
    assert_equal "$status" 0
    assert_equal "$(recorded_disks)" "one.raw<-$path"
    assert_equal "$(cd "$(guest_dir a)" && echo *)" 'metadata.json one.raw snapshots'
    mv "$(guest_dir a)/one.raw" .
  done
}

# ---- shared files

@test "a shared file is one that the state has as read-only" {
  echo base >base.ext4
  echo disk >one.raw
  make_snapshot "ro-drive=$PWD/base.ext4" drive=/d/one "ro-pmem=$PWD/state"
  init_a --disk one.raw=/d/one --shared-file "$PWD/base.ext4" --shared-file "$PWD/state"
  assert_equal "$status" 0
  assert_equal "$(snapshot-meta get a snapfork.shared_files)" "[\"$PWD/base.ext4\",\"$PWD/state\"]"
  [[ -e base.ext4 ]]
  assert_equal "$(snapshot-meta lint --json a | jq -rs 'map(select(.name == "drive")) | length')" 0
}

@test "init refuses a shared file that a guest can write, or that is not what all forks would open" {
  echo base >base.ext4
  make_snapshot "drive=$PWD/base.ext4"
  refuses 1 "cannot share '$PWD/base.ext4': the guest can write to this drive" --shared-file "$PWD/base.ext4"
  make_snapshot "pmem=$PWD/base.ext4"
  refuses 1 'the guest can write to this drive' --shared-file "$PWD/base.ext4"
  # The same file twice, once writable.
  make_snapshot "ro-drive=$PWD/base.ext4" "drive=$PWD/base.ext4"
  refuses 1 'the guest can write to this drive' --shared-file "$PWD/base.ext4"
  make_snapshot ro-drive=base.ext4
  refuses 1 'it is not an absolute path' --shared-file base.ext4
  refuses 4 'has no such drive' --shared-file "$PWD/base.ext4"
  make_snapshot "ro-drive=$PWD/none"
  refuses 5 "'$PWD/none'" --shared-file "$PWD/none"
  make_snapshot "ro-drive=$PWD"
  refuses 4 'it is neither a regular file nor a block device' --shared-file "$PWD"
  make_snapshot "ro-drive=$PWD/base.ext4"
  refuses 2 'is given to --disk and to --shared-file' --shared-file "$PWD/base.ext4" --disk base.ext4
}

@test "init refuses a shared file that belongs to a guest" {
  init_guest b
  make_snapshot "ro-drive=$(memory_of b)"
  refuses 1 "it belongs to the guest 'b'" --shared-file "$(memory_of b)"
  ln -s "$(guest_dir b)" link
  make_snapshot "ro-drive=$PWD/link/snapshots/snapshot-latest/memory"
  refuses 1 "it belongs to the guest 'b'" --shared-file "$PWD/link/snapshots/snapshot-latest/memory"
}

# ---- states that are not understood

@test "a state whose devices cannot be read is imported with a warning, and its assumption is recorded" {
  make_snapshot
  "$HELPERS/write-vmstate" state 7.0.0 2 drive=/d/one
  init_a
  assert_equal "$status" 0
  assert_contains "$stderr" "cannot be read; it cannot be forked or run. If the guest has no drives, import it with --assume-no-paths"
  run -1 snapshot-meta get a snapfork.assume_no_paths
  rm -rf "$(guest_dir a)"
  make_snapshot
  "$HELPERS/write-vmstate" state 7.0.0 2 drive=/d/one
  init_a --assume-no-paths
  assert_equal "$status" 0
  assert_contains "$stderr" 'it is assumed that the guest has no drives'
  assert_equal "$(snapshot-meta get a snapfork.assume_no_paths)" true
}

@test "--assume-no-paths does not hide drives that can be read" {
  make_snapshot drive=/d/one
  refuses 1 "it names drive '/d/one'" --assume-no-paths
  make_snapshot
  init_a --assume-no-paths
  assert_equal "$status" 0
  run -1 snapshot-meta get a snapfork.assume_no_paths
}

# ---- the Firecracker and the host of the snapshot

# A program that prints what Firecracker prints for --version.
make_program() { # <name> <script>
  printf '#!/bin/sh\n%s\n' "$2" >"$1"
  chmod +x "$1"
}

@test "init records the Firecracker by its version or its program, and list and show print it" {
  make_snapshot
  init_a --firecracker 1.16.1
  assert_equal "$status" 0
  assert_equal "$(snapshot-meta get a snapfork.vmm)" '{"version":"1.16.1","from":"import"}'
  run -0 snapshot-meta list
  assert_contains "${lines[1]}" '  1.16.1  a'
  run -0 snapshot-meta list --json
  assert_equal "$(json .vmm_version)" 1.16.1
  assert_equal "$(snapshot-meta show --json a | jq -r .snapfork.vmm.version)" 1.16.1
  rm -rf "$(guest_dir a)"
  make_snapshot
  # shellcheck disable=SC2016
  make_program fc '[ "$1" = --version ] && printf "Firecracker v1.16.0\n\n2026-01-01 exiting\n"'
  init_a --firecracker ./fc
  assert_equal "$status" 0
  assert_equal "$(snapshot-meta get a snapfork.vmm.version)" 1.16.0
  rm -rf "$(guest_dir a)"
  make_snapshot
  PATH=$PWD:$PATH init_a --firecracker fc
  assert_equal "$(snapshot-meta get a snapfork.vmm.version)" 1.16.0
}

@test "init refuses a Firecracker that does not write the snapshot version of the state" {
  make_snapshot
  refuses 4 "cannot import 'state': Firecracker 1.17.0 writes snapshot version 12.0.0, and this state has 10.0.0" --firecracker 1.17.0
  refuses 4 "Firecracker 1.18.0 writes snapshot version 12.0.0 or later, and this state has 10.0.0" --firecracker 1.18.0
  init_a --firecracker 1.15.9 # not known: 9.0.0 to 10.0.0
  assert_equal "$status" 0
}

@test "init refuses a program that is not a Firecracker" {
  make_snapshot
  make_program fails 'echo Firecracker v1.16.0; exit 1'
  make_program other 'echo QEMU 9'
  make_program silent ':'
  make_program floods 'while :; do echo Firecracker v1.16.0; done'
  make_program shell 'echo "Firecracker v1.16.0; touch injected"'
  refuses 4 "cannot use './fails' as a Firecracker: '--version' exits with status 1" --firecracker ./fails
  refuses 4 "and prints 'QEMU 9'" --firecracker ./other
  refuses 4 "and prints ''" --firecracker ./silent
  refuses 4 "cannot run './floods': it printed more than 65536 bytes" --firecracker ./floods
  refuses 4 'as a Firecracker' --firecracker ./shell
  refuses 5 'No such file' --firecracker ./none
  refuses 5 'No such file' --firecracker 'touch injected; true'
  refuses 5 'Permission denied' --firecracker ./memory
  [[ ! -e injected ]]
}

@test "init ends a program that does not print its version in time" {
  make_snapshot
  # shellcheck disable=SC2016
  make_program hangs 'echo "$$" >pid; exec tail -f /dev/null'
  refuses 4 "cannot run './hangs': it did not end in time, and was killed" --firecracker ./hangs
  run ! kill -0 "$(<pid)"
}

@test "the program that prints a version gets no descriptors of the caller" {
  make_snapshot
  make_program lists 'ls /proc/self/fd | sort -n | tr "\n" " " >fds; echo Firecracker v1.16.0'
  exec 9<memory
  init_a --firecracker ./lists
  exec 9<&-
  assert_equal "$status" 0
  [[ " $(<fds)" != *' 9 '* ]]
}

@test "init records the host, host-check compares it, and run-begin warns" {
  local differences
  init_guest a
  assert_equal "$(snapshot-meta get a snapfork.host | jq -r 'keys | join(" ")')" \
    'cpu_family cpu_model cpu_stepping cpu_vendor kernel microcode'
  assert_equal "$(snapshot-meta get a snapfork.host.kernel)" "$(uname -r)"
  run -0 snapshot-meta host-check a
  assert_equal "$output" ''
  snapshot-meta set a snapfork.host.kernel=4.14.99 snapfork.host.cpu_model=7777
  run -1 snapshot-meta host-check a
  assert_equal "${#lines[@]}" 2
  assert_contains "$output" 'model 7777'
  assert_contains "$output" 'made on Linux 4.14.99, and this host has '
  run -1 snapshot-meta host-check --json a
  assert_equal "$(json '[.recorded, (.differences | length)] | tojson')" '[true,2]'
  run -0 --separate-stderr snapshot-meta run-begin --pid "$$" --dry-run a
  differences=$(grep -c "warning: 'a': its snapshot was made on" <<<"$stderr")
  assert_equal "$differences" 2
  snapshot-meta unset a snapfork.host
  run -0 snapshot-meta host-check --json a
  assert_equal "$(json '[.recorded, .differences] | tojson')" '[false,[]]'
}

@test "a fork keeps what is recorded about the snapshot of its source" {
  echo base >base.ext4
  make_snapshot "ro-drive=$PWD/base.ext4"
  init_a --firecracker 1.16.1 --shared-file "$PWD/base.ext4"
  make_fork a f >/dev/null
  for key in vmm host shared_files; do
    assert_equal "$(snapshot-meta get f "snapfork.$key")" "$(snapshot-meta get a "snapfork.$key")"
  done
}

# ---- promote

@test "promote prints the hazards of lint as warnings, and succeeds" {
  init_guest a boot-args='console=ttyS0 no-kvmclock' tap=tap0
  chmod a-w "$(memory_of a)"
  run -0 --separate-stderr snapshot-meta promote a
  assert_contains "$stderr" "warning: 'a': clock: the boot arguments do not select kvm-clock"
  assert_contains "$stderr" "warning: 'a': network: its interface"
  run -0 --separate-stderr snapshot-meta promote -q a
  assert_equal "$stderr" ''
  init_guest b boot-args='clocksource=kvm-clock'
  chmod a-w "$(memory_of b)"
  run -0 --separate-stderr snapshot-meta promote b
  assert_equal "$stderr" ''
}
