# SPDX-License-Identifier: Apache-2.0
# What the benchmarks of the page server have in common. They set `dir`, `rounds`, `servers`, `server_core` and `guest_core`.
# shellcheck shell=bash disable=SC2154 # see above

# For a trap at EXIT.
cleanup() {
  local pid
  for pid in "${servers[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
  done
  [[ -z $dir ]] || rm -rf "$dir"
}

median() {
  sort -n | sed -n "$(((rounds + 1) / 2))p"
}

# field of a run of touches
touched() { # <field> <option>...
  local field=$1
  shift
  "${guest_core[@]}" "$HELPERS/bench-pager" touch --mem "$dir/memory" "$@" | jq -r ".$field"
}

start_ours() { # <option>...
  rm -f "$dir/started" "$dir/ours"
  "${server_core[@]}" uffd-serve --mem "$dir/memory" --socket "$dir/ours" --ready-fd 9 "$@" 9>"$dir/started" &
  servers+=($!)
  until [[ -s $dir/started ]]; do :; done
}

stop_servers() {
  kill "${servers[@]}"
  wait "${servers[@]}" 2>/dev/null || true
  servers=()
  rm -f "$dir/ours" "$dir/theirs"
}

row() { # <what> <measured> <aim> <command>
  printf '| %s | %s | %s | %s |\n' "$@"
}

ratio() { # <a> <b>
  awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

# Writes a picture's data: bars in the order of the lines NAME<TAB>VALUE of standard input. Names that begin with "floor:" are
# floors.
write_bars() { # <picture> <title> <unit>
  mkdir -p "$raw"
  jq -Rsc --arg title "$2" --arg unit "$3" '{title: $title, unit: $unit, bars: [split("\n")[] | select(. != "") | split("\t")
    | {name: (.[0] | sub("^floor: "; "")), value: (.[1] | tonumber), floor: (.[0] | startswith("floor: "))}]}' >"$raw/$1.json"
}
