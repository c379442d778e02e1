#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# template-oci import: layouts that are damaged, or made to do harm, are refused by name and change nothing.
# shellcheck disable=SC2016,SC2154 # jq has variables; output, stderr and status are set by run

load helpers
load snapshot-meta_helpers
load template-oci_helpers

setup() {
  oci_setup
  make_template base
  template-oci export -q base layout
}
teardown() { common_teardown; }

@test "import refuses a corrupt blob of each kind by its path" {
  local n path
  for n in 0 1 2; do
    path=$(blob_of layout "$(layer_of layout "$n")")
    cp "$path" saved
    printf x | dd of="$path" bs=1 seek=50 conv=notrunc status=none
    refuse_import 4 "cannot read '$path': " layout
    assert_contains "$stderr" 'another digest'
    cp saved "$path"
  done
  path=$(manifest_of layout)
  printf ' ' | dd of="$path" bs=1 seek=1 conv=notrunc status=none
  refuse_import 4 "$path': its bytes have another digest" layout
}

@test "import refuses a truncated, longer or missing blob" {
  local path
  path=$(blob_of layout "$(layer_of layout 2)")
  truncate -s -1 "$path"
  refuse_import 4 "$path': it has " layout
  truncate -s +2 "$path"
  refuse_import 4 "$path': it has " layout
  rm "$path"
  refuse_import 4 "$path': the layout does not have this file" layout
}

@test "import refuses links, FIFOs, sockets and directories in the place of files" {
  local path kind
  path=$(blob_of layout "$(layer_of layout 2)")
  for path in "$path" layout/index.json layout/oci-layout; do
    mv "$path" saved
    for kind in link fifo directory; do
      case $kind in
        link) ln -s "$PWD/saved" "$path" ;;
        fifo) mkfifo "$path" ;;
        directory) mkdir "$path" ;;
      esac
      refuse_import 4 "$path" layout
      rm -rf "$path"
    done
    mv saved "$path"
  done
  mv layout/blobs blobs
  ln -s "$PWD/blobs" layout/blobs
  refuse_import 4 'symbolic link' layout
}

@test "import opens no file outside of the layout for a digest with a path in it" {
  local digest
  for digest in 'sha256:../../../../etc/passwd' '../x' 'sha256:' "sha512:$(printf '0%.0s' {1..64})" \
    "sha256:$(printf 'A%.0s' {1..64})" "sha256:$(printf '0%.0s' {1..63})/"; do
    jq -c --arg digest "$digest" '.manifests[0].digest = $digest' layout/index.json >index.new
    cp -R layout bad
    mv index.new bad/index.json
    refuse_import 4 'has the digest' bad
    rm -rf bad
    cp -R layout bad
    edit_manifest bad --arg digest "$digest" '.layers[2].digest = $digest'
    refuse_import 4 'layer 2 has the digest' bad
    rm -rf bad
  done
}

@test "import refuses a wrong media type, artifact type, or number of layers" {
  cp -R layout bad
  edit_manifest bad '.layers[2].mediaType = "application/vnd.oci.image.layer.v1.tar+gzip"'
  refuse_import 4 "layer 2 has the media type 'application/vnd.oci.image.layer.v1.tar+gzip'" bad
  rm -rf bad
  cp -R layout bad
  edit_manifest bad 'del(.artifactType)'
  refuse_import 4 'it is not a template of snapfork' bad
  rm -rf bad
  cp -R layout bad
  edit_manifest bad '.layers += [range(254) as $i | .layers[2]]'
  refuse_import 4 'it has 257 layers' bad
}

@test "import refuses an annotation that occurs twice" {
  sed 's/"annotations":{/&"io.snapfork.hot-list":"yes",/' "$(manifest_of layout)" >manifest.new
  put_manifest layout manifest.new
  refuse_import 4 'io.snapfork.hot-list' layout
}

@test "import refuses an index of 10 GB before it reads it" {
  local path
  truncate -s 10G "$(blob_of layout "$(layer_of layout 1)")"
  edit_manifest layout '.layers[1].size = 10737418240'
  refuse_import 4 'layer 1 has 10737418240 bytes' layout
}

@test "import refuses an index.json of 10 GB" {
  truncate -s 10G layout/index.json
  refuse_import 4 'layout/index.json' layout
}

@test "import refuses a header that has more chunks than the index" {
  edit_index layout -1 24 8 $((1 << 58))
  refuse_import 4 'which do not fit its' layout
}

@test "import refuses chunks that overlap, or lie beyond their file or pack" {
  cp -R layout bad
  edit_index bad 2 8 8 10
  refuse_import 4 'overlap' bad
  rm -rf bad
  cp -R layout bad
  edit_index bad 18 0 8 4
  refuse_import 4 'but its file has 1048576 bytes' bad
  rm -rf bad
  cp -R layout bad
  edit_index bad 2 8 8 $((1 << 40))
  refuse_import 4 'of a pack of' bad
  rm -rf bad
  cp -R layout bad
  edit_index bad 2 0 8 0
  refuse_import 4 'is not after the one before it' bad
  rm -rf bad
  cp -R layout bad
  edit_index bad 1 28 4 4096
  refuse_import 4 'are needed there' bad
}

@test "import refuses a frame that decompresses to more than its chunk, and writes nothing beyond it" {
  require_cmd zstd
  local offset length
  # A frame of 1 GiB of zeros takes 33 KiB.
  head -c 1G /dev/zero | zstd -q -3 >bomb
  length=$(stat -c %s bomb)
  ((length < 262144))
  cp "$(blob_of layout "$(layer_of layout 2)")" pack
  offset=$(stat -c %s pack)
  cat bomb >>pack
  put_layer layout 2 pack
  edit_index layout 1 8 8 "$offset" 1 24 4 "$length"
  refuse_import 4 "the frame at $offset is not zstd, or does not have 262144 bytes" layout
}

@test "import refuses a frame with the bytes of another chunk" {
  python3 - "$(blob_of layout "$(layer_of layout 1)")" >index.blob <<'END'
import sys
blob = bytearray(open(sys.argv[1], 'rb').read())
a, b = 32 + 64 * 1, 32 + 64 * 2  # two chunks of the memory exchange their digests
blob[a + 32:a + 64], blob[b + 32:b + 64] = blob[b + 32:b + 64], blob[a + 32:a + 64]
sys.stdout.buffer.write(blob)
END
  put_layer layout 1 index.blob
  refuse_import 4 'has another digest than sha256:' layout
}

@test "import refuses a layout that leaves out a chunk of the memory" {
  python3 - "$(blob_of layout "$(layer_of layout 1)")" >index.blob <<'END'
import sys
blob = bytearray(open(sys.argv[1], 'rb').read())
del blob[32 + 64 * 2:32 + 64 * 3]
blob[24:32] = (int.from_bytes(blob[24:32], 'little') - 1).to_bytes(8, 'little')
sys.stdout.buffer.write(blob)
END
  put_layer layout 1 index.blob
  refuse_import 4 'its memory has the digest' layout
}

@test "import refuses a description with other lengths, names or roles" {
  local filter
  for filter in '.files[1].bytes = 4096' '.files[1].bytes = 1e30' '.files[2].name = "../../x"' '.files[2].name = "metadata.json"' \
    '.files[2].name = "template"' '.files[2].role = "x"' 'del(.files[1])' 'del(.files[2])' '.files += [.files[2]]' '.v = 2' \
    '.files[2].path = "/other"' '.memory_digest = "x"' '.metadata.snapfork.vmm = {"version":"$(reboot)"}' '.metadata.Name = 5'; do
    cp -R layout bad
    jq -c "$filter" "$(blob_of bad "$(layer_of bad 0)")" >description
    put_layer bad 0 description
    before=$(store_picture)
    run ! template-oci import new bad
    [[ $status == [14] ]] || fail "$filter"
    assert_equal "$(store_picture)" "$before"
    rm -rf bad
  done
}

@test "import refuses a state that is not one, and memory of another length than it needs" {
  "$HELPERS/write-vmstate" state 10.0.0 32 drive=/srv/rootfs.img
  cp "$(blob_of layout "$(layer_of layout 2)")" pack
  local offset
  offset=$(stat -c %s pack)
  zstd -q -3 <state >frame
  cat frame >>pack
  put_layer layout 2 pack
  edit_index layout 0 8 8 "$offset" 0 24 4 "$(stat -c %s frame)" 0 28 4 "$(stat -c %s state)"
  python3 - "$(blob_of layout "$(layer_of layout 1)")" "$(sha256sum <state)" >index.blob <<'END'
import sys
blob = bytearray(open(sys.argv[1], 'rb').read())
blob[64:96] = bytes.fromhex(sys.argv[2].split()[0])
sys.stdout.buffer.write(blob)
END
  put_layer layout 1 index.blob
  jq -c --argjson bytes "$(stat -c %s state)" '.files[0].bytes = $bytes' "$(blob_of layout "$(layer_of layout 0)")" >description
  put_layer layout 0 description
  refuse_import 4 'memory' layout
}

@test "import refuses a directory that is not a layout, and a tar that is not one" {
  mkdir empty
  refuse_import 4 'empty/oci-layout' empty
  refuse_import 5 'absent' absent
  local input
  printf 'not a tar' >not-a-tar
  head -c 3000 /dev/urandom >noise
  : >nothing
  gzip -c not-a-tar >compressed
  for input in not-a-tar noise nothing compressed; do
    refuse_import 4 '' - <"$input"
  done
}

@test "import refuses a tar that is cut, or has a corrupt blob, a link, or a member twice" {
  local before
  tar -cf good.tar -C layout .
  head -c 200000 good.tar >cut.tar
  refuse_import 4 'standard input' - <cut.tar
  cp -R layout bad
  printf x | dd of="$(blob_of bad "$(layer_of bad 2)")" bs=1 seek=5 conv=notrunc status=none
  tar -cf bad.tar -C bad .
  refuse_import 4 'has another digest; it is corrupt' - <bad.tar
  rm bad/index.json
  ln -s /etc/passwd bad/index.json
  tar -cf link.tar -C bad index.json
  refuse_import 4 "the member 'index.json' is not a regular file" - <link.tar
  cp good.tar twice.tar
  tar -rf twice.tar -C layout ./index.json
  refuse_import 4 "it has the member './index.json' twice" - <twice.tar \
    || refuse_import 4 "it has the member 'index.json' twice" - <twice.tar
}

@test "members of a tar with paths outside of the layout are not written" {
  mkdir -p t/layout
  cp -R layout/. t/layout
  : >t/escaped
  tar -cf evil.tar -P -C t/layout . ../escaped --transform 's|^../escaped|../../../escaped|'
  template-oci import -q new - <evil.tar
  same_template base new
  assert_equal "$(find "$BATS_TEST_TMPDIR" -name escaped)" "$PWD/t/escaped"
}
