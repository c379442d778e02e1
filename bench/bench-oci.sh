#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# template-oci: the bytes of the push of a second version, and the time of export and import compared with zstd and
# sha256sum. OCI_PAIR="MEMORY1 MEMORY2" adds the bytes for two memory files of a real guest; their states are made.
# shellcheck disable=SC2016 # the backquotes are markdown's
set -euo pipefail
shopt -s inherit_errexit

readonly MEMORY_MIB=${MEMORY_MIB:-1024}
readonly ROUNDS=${ROUNDS:-5}
readonly SEED=${SEED:-1}

# Makes v1.memory and v2.memory, without zero pages; 5 % of the pages differ. They lie as in a guest of 1 GiB that was
# measured: changed pages touch 12.6 % of the 256 KiB chunks, 19.5 % of the 1 MiB, 57 % of the 16 MiB and 85 % of the
# 64 MiB units. 40 % of a page are random bytes, so that it compresses as guest memory does. Prints the share of changed chunks.
make_pair() {
  python3 - "$MEMORY_MIB" "$SEED" <<'END'
import random, sys
mib, seed = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
PAGE = 4096
pages = mib * 256

def page():
    text = rng.randbytes(40).hex().encode()
    return (rng.randbytes(1638) + text * 31)[:PAGE]

# Chooses `count` of the units that lie in the units of the level above, at least one in each of those.
def choose(parents, children_of, count):
    chosen = [rng.choice(children_of(parent)) for parent in parents]
    rest = [child for parent in parents for child in children_of(parent) if child not in set(chosen)]
    return sorted(chosen + rng.sample(rest, max(0, count - len(chosen))))

def level(width):
    return lambda parent: range(parent * width, (parent + 1) * width)

units = choose([0], lambda _: range(mib // 64), round(mib / 64 * 0.85))
units = choose(units, level(4), round(mib / 16 * 0.57))
units = choose(units, level(16), round(mib * 0.195))
chunks = choose(units, level(4), round(mib * 4 * 0.126))
changed = set(choose(chunks, level(64), round(pages * 0.05)))
with open('v1.memory', 'wb') as v1, open('v2.memory', 'wb') as v2:
    for number in range(pages):
        data = page()
        v1.write(data)
        v2.write(page() if number in changed else data)
print('%.1f' % (100 * len(chunks) / (mib * 4)))
END
}

# Makes a template of a memory file, whose length decides that of the guest.
make_template() { # <id> <memory>
  local mib=$(($(stat -c %s "$2") >> 20))
  "$HELPERS/write-vmstate" state 10.0.0 "$mib"
  cp --reflink=auto --sparse=always "$2" memory
  snapshot-meta init -q "$1" --state state --memory memory
  chmod a-w "$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory"
  snapshot-meta promote -q "$1" 2>/dev/null
}

second_push() { # <id> <id> <what>
  local first second
  first=$(template-oci export -q --json "$1" pair | jq .new_bytes)
  second=$(template-oci export -q --json "$2" pair | jq .new_bytes)
  rm -rf pair
  printf '| bytes of the second push against the first: %s | %s (%d MiB, %d MiB) | less than 0.15 | `template-oci export ID2 DIR` after `export ID1 DIR` |\n' \
    "$3" "$(awk -v a="$second" -v b="$first" 'BEGIN {printf "%.3f", a / b}')" $((second >> 20)) $((first >> 20))
}

seconds_of() { # <function>
  local begin=$EPOCHREALTIME
  "$1" >/dev/null
  awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}'
}

median() { # <file> <column>
  sort -g -k "$2,$2" "$1" | awk -v column="$2" '{ value[NR] = $column } END { printf "%.2f", value[int((NR + 1) / 2)] }'
}

# Prints the median of the ratios of interleaved pairs, and the medians of both times.
compare() { # <function> <function it is compared with> <function before each>
  local round a b
  for ((round = 0; round < ROUNDS; ++round)); do
    "$3"
    a=$(seconds_of "$1")
    "$3"
    b=$(seconds_of "$2")
    awk -v a="$a" -v b="$b" 'BEGIN { print a / b, a, b }'
  done >rounds
  printf '%s %s %s\n' "$(median rounds 1)" "$(median rounds 2)" "$(median rounds 3)"
}

row() { # <what> <ratio> <seconds> <seconds> <aim> <command>
  printf '| %s | %s (%s s, %s s) | %s | `%s` |\n' "$@"
}

export_ours() { template-oci export -q v1 exported; }
export_plain() { zstd -q -T2 -3 <v1.memory | sha256sum; }
before_export() { rm -rf exported; }

import_ours() { template-oci import -q --share never new exported; }
import_plain() {
  sha256sum image.zst
  zstd -q -d -f image.zst -o image
  sync image
}
before_import() {
  snapshot-meta trash new >/dev/null 2>&1 || true
  snapshot-meta purge new
  rm -f image
  sync -f .
}

main() {
  local ratio ours plain share
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  cd "$dir"
  export SNAPFORK_ROOT=$dir/root
  mkdir -p "$SNAPFORK_ROOT/guests"
  share=$(make_pair)
  make_template v1 v1.memory
  make_template v2 v2.memory
  second_push v1 v2 "5 % of the pages of $MEMORY_MIB MiB changed, in $share % of the chunks"
  read -r ratio ours plain < <(compare export_ours export_plain before_export)
  row "export of $MEMORY_MIB MiB without zeros against compression and digest" "$ratio" "$ours" "$plain" 'at most 1.2' \
    'template-oci export ID DIR`, `zstd -T2 -3 | sha256sum'
  before_export
  export_ours >/dev/null
  zstd -q -T2 -3 <v1.memory >image.zst
  read -r ratio ours plain < <(compare import_ours import_plain before_import)
  row "import of $MEMORY_MIB MiB without zeros against digest, decompression and flush" "$ratio" "$ours" "$plain" 'at most 1.2' \
    'template-oci import NEW DIR`, `sha256sum; zstd -d; sync FILE'
  if [[ -n ${OCI_PAIR-} ]]; then
    before_import
    snapshot-meta trash v1 >/dev/null && snapshot-meta purge v1
    snapshot-meta trash v2 >/dev/null && snapshot-meta purge v2
    make_template r1 "${OCI_PAIR% *}"
    make_template r2 "${OCI_PAIR#* }"
    second_push r1 r2 'two memory files of a real guest'
  fi
}

main "$@"
