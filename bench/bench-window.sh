#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What windows cost and bring: the time to touch all memory, and the memory of a guest that touches a part of it. Prints rows of
# bench/RESULTS.md, and writes the data of two pictures. Medians of five rounds.
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=5 pages=20000
readonly raw=${RAW:-bench/raw} # where the data of pictures goes
dir=
servers=() server_core=() guest_core=()

# shellcheck source=bench/page_server.bash
source bench/page_server.bash

# Prints the options of a uffd-serve that the name of a bar stands for.
options_of() { # <name>
  case $1 in
    *lazy) echo --lazy ;;
    *unbounded) echo '--window-factor unbounded' ;;
    *) echo '--window-factor 2' ;;
  esac
}

# The time to touch all pages in random order, compared with a server that installs one page per fault. The scheduler places both,
# on different cores. They run in turn.
bench_random_touch() {
  local i name floor ours unbounded raw_copy what="256 MiB in random order without a list"
  "$HELPERS/fault-floor" serve "$dir/floor" "$dir/memory" read >"$dir/ready.log" &
  servers+=($!)
  until [[ -s $dir/ready.log ]]; do :; done
  touched total_ns --socket "$dir/floor" >/dev/null
  for ((i = 0; i < rounds; ++i)); do
    touched total_ns --socket "$dir/floor" >>"$dir/floor.ns"
    for name in bounded unbounded; do
      # shellcheck disable=SC2046 # words
      start_ours $(options_of "$name")
      touched total_ns --socket "$dir/ours" >>"$dir/$name.ns"
      kill "${servers[-1]}"
      wait "${servers[-1]}" 2>/dev/null || true
      unset 'servers[-1]'
    done
  done
  stop_servers
  floor=$(($(median <"$dir/floor.ns") / 1000000))
  ours=$(($(median <"$dir/bounded.ns") / 1000000)) unbounded=$(($(median <"$dir/unbounded.ns") / 1000000))
  raw_copy=$("$HELPERS/bench-pager" install --mem "$dir/memory" --pages 65536 --run 65536 --rounds "$rounds" | jq .raw_ns)
  row "$what, times faster than one page a fault" "$(ratio "$floor" "$unbounded") ($unbounded ms, $floor ms)" 14 \
    "\`uffd-serve --window-factor unbounded\`, \`bench-pager touch\`"
  row 'the same with the default window factor of 2' "$(ratio "$floor" "$ours") ($ours ms, $floor ms)" - \
    "\`uffd-serve\`, \`bench-pager touch\`"
  write_bars fill 'Time until a guest has read all of its 256 MiB in random order' ms <<BARS
floor: raw UFFDIO_COPY of 64 KiB each	$((raw_copy / 1000000))
uffd-serve, unbounded window	$unbounded
uffd-serve	$ours
floor: one page per fault (minimal server)	$floor
BARS
}

# Memory that a guest has for itself after it touched the same pages. Firecracker's File back end is a mapping like the
# first one.
bench_private_memory() {
  local kib name aim asked=$((pages * 4))
  kib=$(touched private_kib --pages "$pages")
  row "private memory of a guest that read $pages random pages: file mapping, as a share of these pages" \
    "$(ratio "$kib" "$asked") ($((kib / 1024)) MiB)" 0.05 "\`bench-pager touch\`"
  {
    printf 'floor: pages that were read\t%d\n' $((asked / 1024))
    printf 'file mapping\t%d\n' $((kib / 1024))
  } >"$dir/bars"
  for name in 'uffd-serve --lazy' uffd-serve 'uffd-serve, unbounded'; do
    # shellcheck disable=SC2046 # words
    start_ours $(options_of "$name")
    kib=$(touched private_kib --socket "$dir/ours" --pages "$pages")
    stop_servers
    case $name in *lazy) aim=1.05 ;; *unbounded) aim=- ;; *) aim='at most 2' ;; esac
    row "the same, by \`uffd-serve $(options_of "$name")\`" "$(ratio "$kib" "$asked") ($((kib / 1024)) MiB)" "$aim" \
      "\`bench-pager touch\`"
    printf '%s\t%d\n' "$name" $((kib / 1024)) >>"$dir/bars"
  done
  write_bars memory "Private memory of a guest that read $((asked / 1024)) of 256 MiB at random" MiB <"$dir/bars"
}

main() {
  trap cleanup EXIT
  dir=$(mktemp -d)
  head -c $((256 << 20)) /dev/urandom >"$dir/memory"
  chmod 444 "$dir/memory"
  bench_random_touch
  bench_private_memory
}

main "$@"
