#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# snapshot-meta: the time of a start and a state, the list of many guests compared with reading their metadata, the guard
# among many guests, and promote compared with reading the memory once.
# shellcheck disable=SC2016 # the backquotes are markdown's
set -euo pipefail
shopt -s inherit_errexit

readonly GUESTS=${GUESTS:-10000}            # of the list
readonly MANY_GUESTS=${MANY_GUESTS:-100000} # of the guard
readonly MEMORY_MIB=${MEMORY_MIB:-4096}     # of promote
readonly ROUNDS=${ROUNDS:-3}
readonly RAW=${RAW:-bench/raw} # where the data of pictures goes

# Prints the minimum of the medians of ten rounds of each command, in microseconds, as in bench-lock.sh.
compare() { # <command>...
  local round
  for round in {0..9}; do
    hyperfine -N -i --warmup "${WARMUP:-5}" --runs "${RUNS:-100}" --export-json "$dir/$round.json" "$@" >/dev/null 2>&1
  done
  jq -rs 'map([.results[].median]) | transpose | map(min * 1e6 | round) | @tsv' "$dir"/?.json
  rm "$dir"/?.json
}

row() { # <what> <microseconds> <microseconds of what it is held against> <aim> <command>
  printf '| %s | %s (%.1f ms, %.1f ms) | %s | `%s` |\n' "$1" \
    "$(awk -v a="$2" -v b="$3" 'BEGIN {printf "%.2f", a / b}')" "${2}e-3" "${3}e-3" "$4" "$5"
}

# ---- guests

make_dirs() { # <root> <count> <below each>
  local i
  for ((i = 1; i <= $2; ++i)); do printf '%s/guests/g%d%s\0' "$1" "$i" "$3"; done | xargs -0 mkdir -p
}

# Makes guests in Standby with metadata as long as hypeman's, each with its own files.
make_guests() { # <root> <count>
  local root=$1 count=$2 i guest
  make_dirs "$root" "$count" /snapshots/snapshot-latest
  for ((i = 1; i <= count; ++i)); do
    guest=$root/guests/g$i
    printf '{\n  "Id": "g%d",\n  "Name": "guest %d",\n  "Env": {"PATH": "%0700d"},\n  "IsTemplate": false\n}\n' \
      "$i" "$i" 0 >"$guest/metadata.json"
    printf '%s/snapshots/snapshot-latest/memory\0' "$guest"
  done | xargs -0 truncate -s 2M
  for ((i = 1; i <= count; ++i)); do
    printf '%s/guests/g%d/snapshots/snapshot-latest/state\n' "$root" "$i"
  done | xargs -n 500 sh -c "tee -- \"\$@\" <'$dir/state' >/dev/null" _
}

bench_state() {
  local ours true
  mkdir -p "$dir/one"
  make_guests "$dir/one" 1
  read -r ours true < <(SNAPFORK_ROOT=$dir/one compare 'snapshot-meta state g1' true)
  printf '| state of a guest, with the start of the program | %d us (`true`: %d us) | less than 2000 us | `snapshot-meta state ID` |\n' \
    "$ours" "$true"
}

bench_list() {
  local ours cat
  make_guests "$dir/list" "$GUESTS"
  read -r ours cat < <(RUNS=2 WARMUP=1 SNAPFORK_ROOT=$dir/list compare 'snapshot-meta list --json' \
    "find $dir/list -name metadata.json -exec cat {} +")
  row "list of $GUESTS guests in Standby, against reading all metadata" "$ours" "$cat" "at most 1.5" \
    'snapshot-meta list --json`, `find -name metadata.json -exec cat {} +'
  rm -r "$dir/list"
}

# ---- guard

make_template() { # <root> <count>: with ten forks among that many guests
  local root=$1 count=$2 i parent=g1
  make_dirs "$root" "$count" ''
  mkdir -p "$root/guests/g1/template/forks"
  for ((i = 2; i <= count; ++i)); do
    if ((i < 12)); then : >"$root/guests/g1/template/forks/g$i"; else parent=other; fi
    printf '{"Id":"g%d","ForkOfTemplate":"%s"}\n' "$i" "$parent" >"$root/guests/g$i/metadata.json"
  done
  printf '{"Id":"g1","IsTemplate":true}\n' >"$root/guests/g1/metadata.json"
}

bench_guard() {
  local guests time true least=0 most=0 guards=() starts=()
  for guests in 100 1000 10000 100000; do
    ((guests <= MANY_GUESTS)) || break
    make_template "$dir/guard" "$guests"
    read -r time true < <(compare "env SNAPFORK_ROOT=$dir/guard template-lock guard --for delete g1" 'env SNAPFORK_ROOT=/ true')
    ((least)) || least=$time
    most=$time
    guards+=("[$guests,$time]") starts+=("[$guests,$true]")
    rm -r "$dir/guard"
  done
  row "guard of a template with 10 forks: $MANY_GUESTS guests against 100" "$most" "$least" "at most 1.2" \
    'template-lock guard --for delete ID'
  mkdir -p "$RAW"
  printf '%s\n' "${guards[@]}" - "${starts[@]}" | jq -Rsc 'split("-\n") | map(split("\n") | map(select(. != "") | fromjson | [.[0], .[1] / 1000]))
    | {title: "Time of a guard of a template with 10 forks, by guests in the store", x: "guests", y: "milliseconds", log_x: true,
       series: [{name: "template-lock guard", points: .[0]}, {name: "true", floor: true, points: .[1]}]}' >"$RAW/guard-by-guests.json"
}

# ---- promote

# Makes memory as Firecracker writes it, with all pages: 40 of 100 pages with data, in runs of different lengths.
make_memory() { # <file>
  local i pages
  for i in {1..5}; do
    for pages in 1 4 16 64 256; do
      head -c $((pages * 4096)) /dev/urandom
      head -c $((pages * 4096 * 3 / 2)) /dev/zero
    done
  done >"$dir/piece"
  while cat "$dir/piece"; do :; done 2>/dev/null | head -c $((MEMORY_MIB << 20)) >"$1"
}

# Flushes the file to the disk and removes it from the page cache.
forget() { # <file>
  sync "$1"
  dd of="$1" oflag=nocache conv=notrunc count=0 status=none
}

# Prints the microseconds that a command takes.
time_of() { # <command> [argument]...
  local started=$EPOCHREALTIME ended
  "$@" >/dev/null
  ended=$EPOCHREALTIME
  printf '%d\n' $((${ended/./} - ${started/./}))
}

least() { # <file>
  sort -n "$1" | head -n 1
}

bench_promote() {
  local i memory=$dir/promote/guests/a/snapshots/snapshot-latest/memory
  export SNAPFORK_ROOT=$dir/promote
  mkdir -p "$SNAPFORK_ROOT"
  make_memory "$dir/memory"
  for ((i = 0; i < ROUNDS; ++i)); do
    rm -rf "$SNAPFORK_ROOT/guests"
    cp --sparse=never "$dir/memory" "$dir/memory.a"
    cp "$dir/state.memory" "$dir/state.a"
    snapshot-meta init a --state "$dir/state.a" --memory "$dir/memory.a"
    forget "$memory"
    time_of dd "if=$memory" of=/dev/null bs=4M status=none >>"$dir/cold.read"
    time_of dd "if=$memory" of=/dev/null bs=4M status=none >>"$dir/warm.read"
    forget "$memory"
    time_of snapfork -q promote a >>"$dir/cold.promote"
    snapfork -q demote a
    template-lock seal a
    time_of snapshot-meta promote a >>"$dir/warm.promote"
  done
  row "promote of $MEMORY_MIB MiB, 60 % zero, not in the page cache, against reading it once" \
    "$(least "$dir/cold.promote")" "$(least "$dir/cold.read")" "at most 1.5" 'snapfork promote ID`, `dd bs=4M'
  row 'of that the second pass, in the page cache, against reading it once from there' \
    "$(least "$dir/warm.promote")" "$(least "$dir/warm.read")" - 'snapshot-meta promote ID`, `dd bs=4M'
}

main() {
  dir=$(mktemp -d)
  # shellcheck disable=SC2064 # the directory of now
  trap "rm -rf '$dir'" EXIT
  "$HELPERS/write-vmstate" "$dir/state" 10.0.0 2
  "$HELPERS/write-vmstate" "$dir/state.memory" 10.0.0 "$MEMORY_MIB"
  bench_state
  bench_list
  bench_guard
  bench_promote
}

main "$@"
