# SPDX-License-Identifier: Apache-2.0
# fake_firecracker.bash: starts tests/helpers/fake-firecracker, a test double, and calls its API.
#
# A fake VMM has a name; its files are in $BATS_TEST_TMPDIR/fake/NAME. Functions that start one must not be called in
# $(...) or by `run`. A file that loads this has a function `fail`, and ends with `fake_kill_all`.
# shellcheck shell=bash disable=SC2034 # `ended` is for the tests

declare -gA fake_pid=()

fake_dir() { # <name>
  printf '%s\n' "$BATS_TEST_TMPDIR/fake/$1"
}

# Starts a fake VMM, behind the given wrapper if any; returns when its API answers. FAKE_* are its settings.
fake_start() { # <name> [wrapper...]
  local name=$1 dir=$BATS_TEST_TMPDIR/fake/$1
  shift
  mkdir -p "$dir"
  rm -f "$dir/api.sock"
  "$@" "$HELPERS/fake-firecracker" --id "$name" --api-sock "$dir/api.sock" \
    </dev/null >>"$dir/console" 2>&1 3>&- 4>&- &
  fake_pid[$name]=$!
  fc-api --wait 30 "$dir/api.sock" GET /version >/dev/null
}

# Makes one call; prints the body of the reply, and fails unless it succeeded.
fake_api() { # <name> <method> <path> [json]
  fc-api "$BATS_TEST_TMPDIR/fake/$1/api.sock" "${@:2}"
}

# Prints the body of PUT /snapshot/load.
fake_load_body() { # <state> <memory or socket> [File|Uffd] [object: more fields]
  jq -nc --arg state "$1" --arg memory "$2" --arg type "${3:-File}" --argjson more "${4:-null}" \
    '{snapshot_path: $state, mem_backend: {backend_type: $type, backend_path: $memory}, resume_vm: true} + $more'
}

# Waits for the end of a fake VMM, and sets `ended` to its exit status.
fake_wait() { # <name>
  ended=0
  wait "${fake_pid[$1]}" || ended=$?
  unset "fake_pid[$1]"
}

fake_kill_all() {
  local pid
  for pid in "${fake_pid[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}
