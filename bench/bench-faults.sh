#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One demand fault: uffd-serve and the smallest possible page servers, one that copies from the mapped image and one that
# reads it, measured by a client that shares no code with uffd-serve (tests/helpers/fault-floor.cc). With PEERS=DIR also each
# program of DIR, called as PROGRAM SOCKET MEMORY; it must listen at SOCKET. Prints rows of bench/RESULTS.md. The servers run
# in turn, each new in each round, for a first session and a second one. Medians of the rounds. Client and servers run at a
# real-time priority if permitted, so that other processes do not add to their times.
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=${ROUNDS:-7} pages=${PAGES:-20000}
dir=
server=
priority=()

cleanup() {
  [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
  [[ -z $dir ]] || rm -rf "$dir"
}

row() { # <what> <measured> <aim> <command>
  printf '| %s | %s | %s | %s |\n' "$@"
}

# Prints the command of a server, one word per line.
command_of() { # <name>
  case $1 in
    mapped | read) printf '%s\n' "$HELPERS/fault-floor" serve "$dir/socket" "$dir/memory" "$1" ;;
    uffd-serve) printf '%s\n' uffd-serve --lazy --mem "$dir/memory" --socket "$dir/socket" ;;
    *) printf '%s\n' "$PEERS/$1" "$dir/socket" "$dir/memory" ;;
  esac
}

# Adds the results of two sessions to the files NAME.1 and NAME.2, and the times of each touch to NAME.times.
measure() { # <name> <cpu>
  local call session tries=0
  mapfile -t call < <(command_of "$1")
  rm -f "$dir/socket"
  "${priority[@]}" taskset -c "$2" "${call[@]}" >"$dir/log" 2>&1 &
  server=$!
  until [[ -S $dir/socket ]]; do
    if ((++tries > 500)) || ! kill -0 "$server" 2>/dev/null; then
      printf 'bench-faults: %s does not listen: %s\n' "$1" "$(tail -n 1 "$dir/log")" >&2
      server=
      return 1
    fi
    sleep 0.02
  done
  for session in 1 2; do
    "${priority[@]}" taskset -c 0 "$HELPERS/fault-floor" touch "$dir/socket" "$dir/memory" "$pages" "$server" \
      "$dir/last" >>"$dir/$1.$session"
  done
  cat "$dir/last" >>"$dir/$1.times"
  kill "$server"
  wait "$server" 2>/dev/null || true
  server=
}

# median <name> <session> <field>
median() {
  jq -rs "map(.$3) | sort | .[length / 2 | floor]" "$dir/$1.$2"
}

ratio() { # <a> <b>
  awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

report() { # <name> <session> <where> <aim>
  local field text='' ours floor
  for field in mean p50 p99 cpu; do
    ours=$(median "$1" "$2" "${field}_ns") floor=$(median mapped "$2" "${field}_ns")
    text+="${text:+, }$field $(ratio "$ours" "$floor") ($ours ns, $floor ns)"
  done
  row "demand fault, $1, session $2, $3, as a ratio to a minimal poll-read-COPY loop from the mapped image" "$text" "$4" \
    "\`bench/bench-faults.sh\`"
}

# The share of touches that took at most x ns, at 1 % steps.
write_distribution() { # <name>...
  local name
  for name; do
    sort -n "$dir/$name.times" | awk -v name="$name" '
      { t[NR] = $1 }
      END {
        printf "{\"name\":\"%s\",\"floor\":%s,\"points\":[", name, (name == "mapped" || name == "read") ? "true" : "false"
        for (p = 1; p < 100; ++p) printf "%s[%.3f,%d]", (p > 1 ? "," : ""), t[int(NR * p / 100) + 1] / 1000, p
        print "]}"
      }'
  done | jq -sc '{title: "Time of a demand fault, second session of an image, one core", x: "microseconds", y: "percent of faults that took at most that long", log_x: true, series: map(.name |= ({mapped: "minimal server, mapped image", read: "minimal server, read"}[.] // .))}' \
    >"$raw/fault-latency.json"
}

main() {
  trap cleanup EXIT
  dir=$(mktemp -d)
  raw=${RAW:-bench/raw}
  mkdir -p "$raw"
  ! chrt -f 50 true 2>/dev/null || priority=(chrt -f 50)
  head -c $((256 << 20)) /dev/urandom >"$dir/memory"
  chmod 444 "$dir/memory"
  local names=(mapped read uffd-serve) cpu where name i aims
  if [[ -n ${PEERS:-} ]]; then
    for name in "$PEERS"/*; do
      [[ ! -x $name || -d $name ]] || names+=("${name##*/}")
    done
  fi
  for cpu in 0 1; do
    ((cpu < $(nproc))) || continue
    where='one core' aims=('mean, cpu: 1.10' 'p50, cpu: 1.10')
    ((cpu == 0)) || where='across cores' aims=('mean, p50: 1.05' 'mean, p50: 1.05')
    rm -f "$dir"/*.[12] "$dir"/*.times
    for ((i = 0; i < rounds; ++i)); do
      for name in "${names[@]}"; do measure "$name" "$cpu"; done
    done
    for name in "${names[@]:1}"; do
      [[ $name == uffd-serve ]] || aims=(- -)
      [[ $name != uffd-serve ]] || aims=("${aims[@]}")
      report "$name" 1 "$where" "${aims[0]}"
      report "$name" 2 "$where" "${aims[1]}"
    done
    ((cpu)) || write_distribution "${names[@]}"
  done
}

main "$@"
