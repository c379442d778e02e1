#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# uffd-serve with a real Firecracker that runs the guest of tests/guest. FIRECRACKER is the path of the program.
# Prints rows of bench/RESULTS.md. Medians of five rounds.
set -euo pipefail
shopt -s inherit_errexit

readonly rounds=5
dir=$(mktemp -d "${TMPDIR:-/tmp}/snapfork-bench.XXXXXX")

# The virtual machines are started by the helpers of the tests.
readonly BATS_TEST_TMPDIR=$dir
bats_require_minimum_version() { :; }
skip() {
  printf '| on a real Firecracker | skipped: %s | | |\n' "$1"
  exit
}
# shellcheck source=tests/firecracker/helpers.bash
source "${BASH_SOURCE[0]%/*}/../tests/firecracker/helpers.bash"

server=

cleanup() {
  vm_kill_all
  [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$dir"
}

median() {
  sort -n | sed -n "$(((rounds + 1) / 2))p"
}

row() { # <what> <measured> <aim> <command>
  printf '| %s | %s | %s | %s |\n' "$@"
}

serve() { # <option>...
  rm -f "$dir"/{started,socket}
  mkfifo "$dir/started"
  uffd-serve --once -q --mem "$dir/snapshot/memory" --socket "$dir/socket" --ready-fd 9 "$@" 9>"$dir/started" &
  server=$!
  read -r _ <"$dir/started"
}

load_from_server() {
  jq -nc --arg dir "$dir" '{snapshot_path: "\($dir)/snapshot/state", resume_vm: true,
    mem_backend: {backend_type: "Uffd", backend_path: "\($dir)/socket"}}'
}

end_vm() {
  vm_kill vm
  [[ -z $server ]] || wait "$server"
  server=
}

# The guest reads pages in all its memory while its balloon takes 32 MiB.
bench_balloon() {
  local i line pages
  take_snapshot "$dir/snapshot" 'guest.seed=7 guest.zero=50' \
    '{"balloon": {"amount_mib": 0, "deflate_on_oom": false}}' >/dev/null
  for ((i = 0; i < rounds; ++i)); do
    serve
    vm_restore vm "$(load_from_server)"
    vm_ask vm 'reads on' >/dev/null
    vm_api vm PATCH /balloon '{"amount_mib": 32}'
    line=$(vm_hear vm 'balloon 8192 OK *')
    echo "${line##*checked=}" >>"$dir/pages"
    end_vm
  done
  pages=$(median <"$dir/pages")
  row "pages that a guest reads while its balloon takes 32 MiB" "$pages" 'at least 2000' \
    "\`PATCH /balloon\` of a real Firecracker"
}

# Microseconds from the request that loads the snapshot until the guest has read 20,000 random pages.
time_of_reads() { # <load body>
  local started
  rm -f "$(vm_dir vm)/config.json"
  vm_start vm
  started=${EPOCHREALTIME/./}
  vm_api vm PUT /snapshot/load "$1"
  vm_ask vm 'look 1 20000' >"$dir/answer"
  took=$((${EPOCHREALTIME/./} - started))
  [[ $(<"$dir/answer") == 'look 1 OK '* ]]
}

bench_reads() {
  local i took files list demand ratio
  vm_boot source 256 guest.seed=7
  vm_pause source
  vm_snapshot source "$dir/snapshot"
  vm_kill source
  files=$(load_from_files "$dir/snapshot/state" "$dir/snapshot/memory")
  serve --trace "$dir/trace"
  time_of_reads "$(load_from_server)"
  end_vm
  hotpage-record record "$dir/trace" >"$dir/hot"
  for ((i = 0; i < rounds; ++i)); do
    time_of_reads "$files"
    echo "$took" >>"$dir/files"
    end_vm
    serve --hot "$dir/hot"
    time_of_reads "$(load_from_server)"
    echo "$took" >>"$dir/list"
    end_vm
    serve
    time_of_reads "$(load_from_server)"
    echo "$took" >>"$dir/demand"
    end_vm
  done
  files=$(median <"$dir/files") list=$(median <"$dir/list") demand=$(median <"$dir/demand")
  ratio=$(awk -v ours="$list" -v theirs="$files" 'BEGIN { printf "%.2f", ours / theirs }')
  row 'load of 256 MiB and 20000 random pages read by the guest, with a hot list, as a ratio to the File backend, warm' \
    "$ratio ($((list / 1000)) ms, $((files / 1000)) ms; without a list $((demand / 1000)) ms)" 1.0 \
    "\`PUT /snapshot/load\` of a real Firecracker, \`uffd-serve --hot\`"
}

main() {
  require_firecracker
  trap cleanup EXIT
  bench_balloon
  rm -r "$dir/snapshot"
  bench_reads
}

main "$@"
