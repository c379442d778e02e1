# SPDX-License-Identifier: Apache-2.0
# Makes templates with data, and changes layouts as other programs and attackers do.
# shellcheck shell=bash disable=SC2154 # output and status are set by run

oci_setup() {
  require_cmd openssl python3
  common_setup
}

# A template with 16 MiB of memory, of which some chunks have data, and a disk of 1 MiB. `version` changes a part of it.
make_template() { # <id> [version]
  local version=${2-1}
  "$HELPERS/write-vmstate" state 10.0.0 16 drive=/srv/rootfs.img
  rm -f memory rootfs.img
  truncate -s 16M memory
  fill memory 0 3 data
  fill memory 20 12 more
  fill memory 40 1 "version $version"
  truncate -s 1M rootfs.img
  fill rootfs.img 1 2 "disk"
  snapshot-meta init -q "$1" --state state --memory memory --disk rootfs.img=/srv/rootfs.img
  chmod a-w "$(memory_of "$1")"
  snapshot-meta promote "$1" 2>/dev/null
}

# Writes chunks of 256 KiB that compress a little, and whose bytes depend on the seed and the position alone.
fill() { # <file> <first chunk> <chunks> <seed>
  local i
  for ((i = $2; i < $2 + $3; i++)); do
    openssl enc -aes-128-ctr -pass "pass:$4 $i" -nosalt -pbkdf2 -iter 1 -in /dev/zero 2>/dev/null | head -c 131072 \
      | dd of="$1" bs=4096 seek=$((i * 64)) conv=notrunc status=none
  done
}

same_template() { # <id> <id>
  cmp "$(memory_of "$1")" "$(memory_of "$2")"
  cmp "$(state_of "$1")" "$(state_of "$2")"
  cmp "$(guest_dir "$1")/rootfs.img" "$(guest_dir "$2")/rootfs.img"
}

digest_of() { # <layout> [tag]
  jq -er --arg tag "${2-latest}" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $tag).digest' \
    "$1/index.json"
}

# Prints the path of a blob.
blob_of() { # <layout> <digest>
  printf '%s' "$1/blobs/sha256/${2#sha256:}"
}

manifest_of() { # <layout> [tag]
  blob_of "$1" "$(digest_of "$@")"
}

# Prints the digest of layer N; 0 is the description, 1 the index.
layer_of() { # <layout> <n> [tag]
  jq -er ".layers[$2].digest" "$(manifest_of "$1" "${3-latest}")"
}

# Stores a file as a blob, and prints its digest.
put_blob() { # <layout> <file>
  local digest
  digest=$(sha256sum <"$2")
  digest=${digest%% *}
  cp --remove-destination "$2" "$1/blobs/sha256/$digest"
  printf 'sha256:%s' "$digest"
}

# Makes a file the manifest of the layout.
put_manifest() { # <layout> <file>
  local digest
  digest=$(put_blob "$1" "$2")
  jq -c --arg digest "$digest" --argjson size "$(stat -c %s "$2")" \
    '.manifests[0].digest = $digest | .manifests[0].size = $size' "$1/index.json" >index.new
  mv index.new "$1/index.json"
}

edit_manifest() { # <layout> <jq arguments>...
  jq -c "${@:2}" "$(manifest_of "$1")" >manifest.new
  put_manifest "$1" manifest.new
}

# Replaces layer N by a file, with its right digest and length.
put_layer() { # <layout> <n> <file>
  edit_manifest "$1" --arg digest "$(put_blob "$1" "$3")" --argjson size "$(stat -c %s "$3")" \
    ".layers[$2].digest = \$digest | .layers[$2].size = \$size"
}

# Changes numbers of the index: each is WIDTH bytes at OFFSET of record N, or of the header with N -1.
edit_index() { # <layout> <n> <offset> <width> <value> [<n> <offset> <width> <value>]...
  python3 - "$(blob_of "$1" "$(layer_of "$1" 1)")" "${@:2}" >index.blob <<'END'
import sys
blob = bytearray(open(sys.argv[1], 'rb').read())
words = [int(word) for word in sys.argv[2:]]
for n, offset, width, value in zip(*[iter(words)] * 4):
    at = offset if n < 0 else 32 + 64 * n + offset
    blob[at:at + width] = value.to_bytes(width, 'little')
sys.stdout.buffer.write(blob)
END
  put_layer "$1" 1 index.blob
}

# The import fails with this status and message, and changes nothing in the store.
refuse_import() { # <status> <part of the message> <layout> [option]...
  local before after
  before=$(store_picture)
  run "-$1" --separate-stderr template-oci import new "${@:3}"
  assert_contains "$stderr" "$2"
  after=$(store_picture)
  assert_equal "$after" "$before"
}
