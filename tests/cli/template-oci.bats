#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# template-oci: exports and imports of good layouts.
# shellcheck disable=SC2154 # output, stderr and status are set by run

load helpers
load snapshot-meta_helpers
load template-oci_helpers

setup() { oci_setup; }
teardown() { common_teardown; }

@test "template-oci: help, version, unknown options, closed streams" {
  standard_cases template-oci export import
  run -2 --separate-stderr template-oci
  assert_contains "$stderr" 'a verb is missing'
  run -2 --separate-stderr template-oci push
  assert_contains "$stderr" "unknown verb 'push'"
  run -2 --separate-stderr template-oci export only-one
  run -2 --separate-stderr template-oci export a/b layout
  run -2 --separate-stderr template-oci export base layout --tag 'a b'
  assert_contains "$stderr" "bad tag 'a b'"
}

@test "export and import give an equal, sealed template that can be forked" {
  make_template base
  run -0 --separate-stderr template-oci export base layout --json
  assert_equal "$(json .manifest)" "$(digest_of layout)"
  assert_equal "$(json .chunks)" 19 # state, 16 of memory, 2 of the disk
  run -0 --separate-stderr template-oci import new layout --json --name other
  assert_equal "$(json .manifest)" "$(digest_of layout)"
  same_template base new
  assert_equal "$(snapshot-meta state new)" Template
  assert_equal "$(snapshot-meta get new Name)" other
  snapshot-meta verify --deep new
  assert_equal "$(stat -c %A "$(memory_of new)")" -r--r--r--
  make_fork new f1
  snapshot-meta verify f1
  run -0 snapshot-meta fsck
  [[ -z $(ls -A "$SNAPFORK_ROOT/.snapfork/tmp") ]]
}

@test "an import has no more permissions than the umask gives" {
  make_template base
  template-oci export -q base layout
  (umask 077 && template-oci import -q new layout)
  assert_equal "$(stat -c %A "$(memory_of new)")" -r--------
  snapshot-meta verify new
}

@test "a limit on the length of files (ulimit -f) is a message, and leaves nothing" {
  make_template base
  run -5 --separate-stderr bash -c 'ulimit -f 100; template-oci export base layout'
  assert_contains "$stderr" 'File too large'
  [[ ! -e layout ]]
  template-oci export -q base layout
  run -5 --separate-stderr bash -c 'ulimit -f 100; template-oci import new layout'
  assert_contains "$stderr" 'File too large'
  [[ -z $(ls -A "$SNAPFORK_ROOT/.snapfork/tmp") ]]
}

@test "an import that waits for its tar delays only imports of the same id" {
  make_template base
  template-oci export -q base layout
  mkfifo tar
  exec 9<>tar
  spawn bash -c 'exec template-oci import stalled - <tar'
  wait_until_held stalled
  template-oci import -q other layout
  run -1 --separate-stderr snapfork import stalled --oci layout
  assert_contains "$stderr" "held exclusively by $spawned_pid"
  kill "$spawned_pid"
  exec 9>&-
  wait_until 10 is_gone "$spawned_pid"
  # The signal left temporary files.
  snapshot-meta purge stalled
  [[ -z $(ls -A "$SNAPFORK_ROOT/.snapfork/tmp") ]]
}

@test "an export flushes index.json before it replaces it" {
  require_cmd strace
  make_template base
  template-oci export -q base layout
  local last
  strace -f -qq -o calls -e trace=fsync,fdatasync,rename,renameat,renameat2 template-oci export -q base layout
  last=$(grep -B 1 'index.json"' calls)
  [[ $last == *sync\(*$'\n'*rename* ]] || fail "$last"
}

@test "an imported template keeps its host, its Firecracker and its hot list" {
  make_template base
  snapshot-meta set base snapfork.vmm:='{"version":"1.16.0","from":"import"}'
  snapshot-meta set base snapfork.host.kernel=1.2.3
  printf '# snapfork-trace 1 page_size=4096 memory_bytes=16777216 regions=0+16777216\n3\n0\n' \
    | hotpage-record record -o "$(guest_dir base)/template/hot.hpl"
  template-oci export -q base layout
  run -0 --separate-stderr template-oci import new layout
  assert_contains "$stderr" "warning: 'new': "
  assert_contains "$stderr" '1.2.3'
  assert_equal "$(snapshot-meta get new snapfork.vmm.version)" 1.16.0
  assert_equal "$(snapshot-meta get new snapfork.host.kernel)" 1.2.3
  cmp "$(guest_dir base)/template/hot.hpl" "$(guest_dir new)/template/hot.hpl"
}

@test "an imported template keeps an HPL2 list, and a list of another image is refused" {
  make_template base
  printf '# snapfork-trace 1 page_size=4096 memory_bytes=16777216 regions=0+16777216\n3\n0\n' >trace
  hotpage-record record --format hpl2 -o list trace
  snapshot-meta install-list base list
  template-oci export -q base layout
  template-oci import -q new layout
  cmp "$(guest_dir base)/template/hot.hpl" "$(guest_dir new)/template/hot.hpl"
  cmp "$(guest_dir base)/template/hot.hpl2" "$(guest_dir new)/template/hot.hpl2"
  snapshot-meta verify new
  # The list of another template is not for this memory.
  make_template v2 2
  snapshot-meta install-list v2 list
  cp "$(guest_dir v2)/template/hot.hpl2" "$(guest_dir base)/template/hot.hpl2"
  template-oci export -q base other
  run -4 --separate-stderr template-oci import third other
  assert_contains "$stderr" "cannot import 'third': its hot list"
}

@test "the manifest describes the snapshot, the host and the disks" {
  make_template base
  template-oci export -q base layout
  run -0 cat "$(manifest_of layout)"
  assert_equal "$(json .artifactType)" application/vnd.snapfork.template.v1
  assert_equal "$(json .config.mediaType)" application/vnd.oci.empty.v1+json
  assert_equal "$(json '.annotations["io.snapfork.memory.bytes"]')" 16777216
  assert_equal "$(json '.annotations["io.snapfork.snapshot.version"]')" 10.0.0
  assert_equal "$(json '.annotations["io.snapfork.disks"]')" '[{"role":"drive","name":"rootfs.img","bytes":1048576}]'
  assert_equal "$(json '.annotations["io.snapfork.memory.digest"]')" \
    "$(jq -r .digest "$(guest_dir base)/template/image.json")"
  assert_equal "$(json '[.layers[].mediaType] | join(" ")')" \
    'application/vnd.snapfork.template.description.v1+json application/vnd.snapfork.template.index.v1 application/vnd.snapfork.template.pack.v1+zstd'
  # Each annotation is in the table of the document.
  local key
  while IFS= read -r key; do
    grep -qF -- "${key/#io.snapfork.host/}" "$BATS_TEST_DIRNAME/../../docs/oci.md" || fail "$key is not in docs/oci.md"
  done < <(jq -r '.annotations | keys[]' <<<"$output")
}

@test "an export is reproducible: again, from an imported template, as a tar" {
  make_template base
  template-oci export -q base one
  template-oci import -q base2 one
  template-oci export -q base2 two
  diff -r one two
  template-oci export -q base - >tar1
  template-oci export -q base2 - >tar2
  cmp tar1 tar2
  mkdir three
  tar -xf tar1 -C three
  diff -r one three
}

@test "import reads a tar of a layout, also one that tar or another tool made" {
  make_template base
  template-oci export -q base - | template-oci import -q a -
  same_template base a
  template-oci export -q base layout
  tar -cf - -C layout . | template-oci import -q b -
  same_template base b
  tar --format=gnu --owner=1 -cf - -C layout index.json oci-layout blobs | template-oci import -q c -
  same_template base c
  mkdir extra
  cp -R layout/. extra
  : >extra/README
  ln -s /etc/passwd extra/link
  tar -cf - -C extra . | template-oci import -q d -
  same_template base d
  [[ -z $(ls -A "$SNAPFORK_ROOT/.snapfork/tmp") ]]
}

@test "a later version keeps the old packs, and the replaced version is removed" {
  local old pack
  make_template v1 1
  make_template v2 2
  template-oci export -q v1 layout
  old=$(digest_of layout) pack=$(layer_of layout 2)
  run -0 --separate-stderr template-oci export v2 layout --json
  assert_equal "$(layer_of layout 2)" "$pack"
  assert_equal "$(json .layers)" 4
  (($(json .new_bytes) * 4 < $(json .bytes)))
  [[ ! -e $(blob_of layout "$old") && -e $(blob_of layout "$pack") ]]
  template-oci import -q new layout
  same_template v2 new
  # Every blob is named by the manifest: description, index, two packs, the config, the manifest itself.
  assert_equal "$(find layout/blobs -type f | wc -l)" 6
}

@test "two versions with different tags share packs, and each can be imported" {
  make_template v1 1
  make_template v2 2
  template-oci export -q v1 layout --tag one
  template-oci export -q v2 layout --tag two
  assert_equal "$(layer_of layout 2 two)" "$(layer_of layout 2 one)"
  refuse_import 1 "cannot find the tag 'latest' in 'layout': it has 'one', 'two'; use --tag" layout
  template-oci import -q a layout --tag one
  same_template v1 a
  template-oci import -q b layout --tag two
  same_template v2 b
}

@test "an export writes a corrupt or missing pack of the earlier version again" {
  local pack
  make_template base
  template-oci export -q base layout
  pack=$(blob_of layout "$(layer_of layout 2)")
  printf x | dd of="$pack" bs=1 seek=1000 conv=notrunc status=none
  run -0 --separate-stderr template-oci export base layout
  assert_contains "$stderr" 'is missing or corrupt; its chunks are written again'
  template-oci import -q a layout
  same_template base a
  rm "$pack"
  run -0 --separate-stderr template-oci export base layout
  template-oci import -q b layout
  same_template base b
}

@test "an export keeps the blobs of a layout that has images of another kind" {
  local old
  make_template v1 1
  make_template v2 2
  template-oci export -q v1 layout
  old=$(manifest_of layout)
  printf '{"schemaVersion":2,"config":{},"layers":[]}' >other
  jq -c --arg digest "$(put_blob layout other)" '.manifests += [{"mediaType":"application/vnd.oci.image.manifest.v1+json",
    "digest":$digest,"size":43,"annotations":{"org.opencontainers.image.ref.name":"other"}}]' layout/index.json >index.new
  mv index.new layout/index.json
  template-oci export -q v2 layout
  [[ -e $old ]]
  digest_of layout other
  template-oci import -q new layout
  same_template v2 new
}

@test "export refuses what is not a template, and a directory that is not a layout" {
  make_template base
  init_guest plain
  run -1 --separate-stderr template-oci export plain layout
  assert_equal "$stderr" "template-oci: cannot export 'plain': its state is Standby, not Template; promote it first"
  run -1 --separate-stderr template-oci export absent layout
  [[ ! -e layout ]]
  mkdir full
  : >full/file
  run -1 --separate-stderr template-oci export base full
  assert_contains "$stderr" "it is neither empty nor an OCI image layout"
  assert_equal "$(ls -A full)" file
  touch -d '2001-01-01' "$(guest_dir base)/rootfs.img"
  run -1 --separate-stderr template-oci export base layout
  assert_contains "$stderr" "cannot export 'base'"
  [[ ! -e layout ]]
}

@test "import refuses an id that exists" {
  make_template base
  template-oci export -q base layout
  run -1 --separate-stderr template-oci import base layout
  assert_contains "$stderr" "cannot import 'base': the guest exists"
}

@test "a template with a shared host file is imported only if the caller names the file" {
  : >shared.img
  "$HELPERS/write-vmstate" state 10.0.0 2 "ro-drive=$PWD/shared.img"
  truncate -s 2M memory
  snapshot-meta init -q base --state state --memory memory --shared-file "$PWD/shared.img"
  chmod a-w "$(memory_of base)"
  snapshot-meta promote -q base
  template-oci export -q base layout
  refuse_import 1 "the template needs the file '$PWD/shared.img' of the host" layout
  template-oci import -q new layout --shared-file "$PWD/shared.img"
  assert_equal "$(snapshot-meta get new snapfork.shared_files)" "[\"$PWD/shared.img\"]"
}

@test "dry runs print what would be done, and change nothing" {
  local before
  make_template base
  rm -rf "$SNAPFORK_ROOT/.snapfork/locks"
  before=$(find "$SNAPFORK_ROOT" | sort)
  run -0 --separate-stderr template-oci export --dry-run base layout
  assert_equal "$output" 'would export base to layout'
  [[ ! -e layout ]]
  assert_equal "$(find "$SNAPFORK_ROOT" | sort)" "$before"
  template-oci export -q base layout
  before=$(find "$SNAPFORK_ROOT" | sort)
  run -0 --separate-stderr template-oci import --dry-run --json new layout
  assert_equal "$(json .action)" 'would import new from layout'
  assert_equal "$(find "$SNAPFORK_ROOT" | sort)" "$before"
  rm "$(blob_of layout "$(layer_of layout 1)")"
  run -4 --separate-stderr template-oci import --dry-run new layout
}

@test "an export is refused while another process changes the template, and permits forks" {
  make_template base
  spawn template-lock base -- tail -f /dev/null
  wait_until_held base
  run -1 --separate-stderr template-oci export base layout
  assert_contains "$stderr" "'base'"
  kill "$spawned_pid"
  wait_until 10 is_gone "$spawned_pid"
  spawn template-lock --shared base -- tail -f /dev/null
  wait_until_held base
  template-oci export -q base layout
}

@test "two exports never write to one directory at the same time" {
  make_template base
  template-oci export -q base layout
  run -1 --separate-stderr flock layout template-oci export base layout
  assert_equal "$stderr" "template-oci: cannot export to 'layout': another export writes to it; wait for it to end"
}

@test "progress is printed on request, and not to a pipe" {
  make_template base
  run -0 --separate-stderr template-oci export base layout
  assert_equal "${stderr_lines[*]}" "template-oci: 'base' is exported: 3 MiB in 3 layers, 3 MiB of them new"
  run -0 --separate-stderr template-oci export --progress always base other
  assert_contains "$stderr" "'memory': "
  assert_contains "$stderr" "'packs': 100%"
  run -0 --separate-stderr template-oci import --progress always new layout
  assert_contains "$stderr" "'packs': 100%"
}
