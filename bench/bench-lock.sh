#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# template-lock compared with flock(1): take a lock and start a command. bench-meta.sh measures the guard.
set -euo pipefail
shopt -s inherit_errexit

# Runs the two commands in turn, a hundred times each in ten rounds, and prints the minimum of the rounds' medians of each,
# in microseconds, because other load varies between rounds.
compare() { # <command> <command>
  local round dir
  dir=$(mktemp -d)
  for round in {0..9}; do
    hyperfine -N -i --warmup 10 --runs 100 --export-json "$dir/$round.json" "$@" >/dev/null 2>&1
  done
  jq -rs '[[.[].results[0].median], [.[].results[1].median]] | map(min * 1e6 | round) | @tsv' "$dir"/*.json
  rm -r "$dir"
}

ratio() { # <a> <b>
  awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'
}

bench_start() { # <dir>
  local ours flock
  export SNAPFORK_ROOT=$1/start
  mkdir -p "$SNAPFORK_ROOT/guests"
  read -r ours flock < <(compare "template-lock -n base -- true" "flock -n $1/file true")
  printf "| lock taken and command started, against flock | %s (%d us, %d us) | at most 1.3 | \`template-lock -n ID -- true\`, \`flock -n FILE true\` |\n" \
    "$(ratio "$ours" "$flock")" "$ours" "$flock"
}

# A fork takes both of its locks with one start of template-lock; the alternative is to start it twice.
bench_both_modes() { # <dir>
  local once twice
  export SNAPFORK_ROOT=$1/start
  read -r once twice < <(compare "template-lock -s base -x -n new -- true" \
    "template-lock -s base -- template-lock -x -n new -- true")
  printf "| shared and exclusive lock in one call, against one call each | %s (%d us, %d us) | - | \`template-lock -s ID -x -n NEW -- true\` |\n" \
    "$(ratio "$once" "$twice")" "$once" "$twice"
}

main() {
  local dir
  dir=$(mktemp -d)
  # shellcheck disable=SC2064 # the directory of now
  trap "rm -rf '$dir'" EXIT
  bench_start "$dir"
  bench_both_modes "$dir"
}

main "$@"
