#!/usr/bin/env bats
# What snapshot-meta refuses: snapshots into memory that others use, and changes of state.
# shellcheck disable=SC2154 # output, stderr and lines are set by run
load helpers
load snapshot-meta_helpers

setup() { common_setup; }
teardown() { common_teardown; }

# ---- guard-create

allowed() { # <guest> <type>
  run --separate-stderr -0 snapshot-meta guard-create "$1" --type "$2"
  assert_equal "$output" ''
}

refused() { # <guest> <type> <part of the reason> <part of the way out>
  run --separate-stderr -1 snapshot-meta guard-create "$1" --type "$2"
  assert_contains "$stderr" "cannot write a snapshot of '$1': "
  assert_contains "$stderr" "$3"
  assert_contains "$stderr" "$4"
}

@test "guard-create: memory of its own may be written" {
  init_guest a
  allowed a full
  assert_equal "$stderr" ''
  allowed a diff
  assert_equal "$stderr" ''
  run -0 snapshot-meta guard-create --json a --type diff
  assert_equal "$(json '[.type, .id, .snapshot_type, .allowed, .reason, .memory_links] | map(tostring) | join(" ")')" \
    'guard-create a diff true null 1'
  run --separate-stderr -2 snapshot-meta guard-create a
  run --separate-stderr -2 snapshot-meta guard-create a --type other
  run --separate-stderr -1 snapshot-meta guard-create nobody --type full
}

@test "guard-create: not into memory with several links, a template's, a sealed one" {
  init_template a
  refused a full 'it is a template' 'snapfork demote a'
  make_fork a f
  for type in full diff; do
    refused f "$type" 'has 2 links' 'reflink-clone --unshare'
  done
  reflink-clone --unshare "$(memory_of f)"
  allowed f full
  init_guest b
  template-lock seal b
  refused b full 'is sealed' 'template-lock unseal b'
  template-lock unseal b
  allowed b full
  run --separate-stderr -1 snapshot-meta guard-create --json a --type full
  assert_equal "snapshot-meta: $(json .reason)" "$stderr"
}

has_open() { # <pid> <file>
  [[ -n $(find "/proc/$1/fd" -lname "$2") ]]
}

@test "guard-create: not while a page server, or anybody else, has it open" {
  init_guest a
  spawn uffd-serve --mem "$(memory_of a)" --socket "$PWD/s.sock"
  wait_until 10 test -S s.sock
  # Where the filesystem can reflink, it serves a copy that nobody can write into.
  if has_open "$spawned_pid" "$(memory_of a)"; then
    refused a full 'a page server serves its memory file' 'write to another name'
  fi
  kill "$spawned_pid"
  wait "$spawned_pid" || true
  allowed a full
  spawn tail -f "$(memory_of a)"
  wait_until 10 has_open "$spawned_pid" "$(memory_of a)"
  refused a diff 'another process has its memory file open' "$spawned_pid (tail)"
  # The guest's own VMM maps it.
  snapshot-meta set a "HypervisorPID:=$spawned_pid"
  allowed a diff
}

@test "guard-create: no Diff without a base" {
  init_guest a
  mv "$(memory_of a)" "$(memory_of a).zst"
  refused a diff 'the base of a Diff is compressed (memory.zst)' 'unpack it'
  rm "$(memory_of a).zst"
  refused a diff 'there is no memory file' 'write a Full one'
  allowed a full
  truncate -s 1M "$(memory_of a)"
  refused a diff 'has 1 MiB and not 2 MiB' 'write a Full one'
  allowed a full
}

@test "guard-create: the base of a running guest of hypeman" {
  init_guest a
  mv "$(guest_dir a)/snapshots/snapshot-latest" "$(guest_dir a)/snapshots/snapshot-base"
  allowed a diff
  ln "$(guest_dir a)/snapshots/snapshot-base/memory" other
  refused a diff 'has 2 links' "snapshot-base/memory"
}

@test "guard-create warns of what a snapshot would cost, or lack" {
  init_guest a
  snapshot-meta set a FirecrackerUFFDSessionID=a
  allowed a full
  assert_contains "$stderr" 'a Full snapshot reads all memory, and a page server'
  allowed a diff
  assert_equal "$stderr" ''
  snapshot-meta set a HotPagesPath=/hot
  allowed a diff
  assert_contains "$stderr" 'pages that were prefetched from the hot list'
  run -0 snapshot-meta guard-create -q --json a --type diff
  assert_equal "$(json '.warnings | length')" 1

  init_guest b balloon=1
  allowed b full
  assert_equal "$stderr" ''
  allowed b diff
  assert_contains "$stderr" "the guest's balloon has discarded"
  "$HELPERS/write-vmstate" "$(state_of b)" 12.0.0 2
  allowed b diff
  assert_contains "$stderr" 'not known whether the guest has a balloon'

  init_guest c
  "$HELPERS/write-vmstate" "$(state_of c)" 8.0.0 3584
  truncate -s 3584M "$(memory_of c)"
  allowed c diff
  assert_contains "$stderr" 'before Firecracker 1.15 a Diff of a guest of more than 3 GiB may be wrong'
  "$HELPERS/write-vmstate" "$(state_of c)" 9.0.0 3584
  allowed c diff
  assert_equal "$stderr" ''
}
