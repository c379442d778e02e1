#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the unit tests for at most UNIT_SECONDS (600): tests/run-unit.sh PROGRAM [ARGUMENT...]. Prints failures, skips with
# their reasons, and the totals; after the time limit, the test that hangs.
set -euo pipefail
shopt -s inherit_errexit

main() {
  local seconds=${UNIT_SECONDS:-600} log status=0
  log=$(mktemp "${TMPDIR:-/tmp}/snapfork-unit.XXXXXX")
  # shellcheck disable=SC2064 # the name as it is now
  trap "rm -f '$log'" EXIT
  timeout --kill-after=10 "$seconds" "$@" >"$log" 2>&1 </dev/null || status=$?
  grep -avE '^(\[ RUN      |\[       OK |\[----------|$)' "$log" || true
  if ((status == 124 || status == 137)); then
    printf 'unit tests: not done after %s s; this one was begun last: %s\n' "$seconds" \
      "$(sed -n 's/^\[ RUN      \] //p' "$log" | tail -n 1)"
  fi
  return "$status"
}

main "$@"
