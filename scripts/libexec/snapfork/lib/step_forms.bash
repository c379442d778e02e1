# SPDX-License-Identifier: Apache-2.0
# step_forms.bash: forms of steps: shown, planned in a dry run, without output, with an answer that is a status.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# One of these words before the program of a step redirects its output. A redirection of `step` itself would also be that
# of a trap that runs while the step does, so the messages and the record of the trap would be lost.
without_output() { exec "$@" >/dev/null; }
without_messages() { exec "$@" 2>/dev/null; }
without_both() { exec "$@" >/dev/null 2>&1; }
with_messages() { exec "$@" 2>&1; }
with_output_as_messages() { exec "$@" >&2; }
# shellcheck disable=SC2069 # not the standard output
with_only_messages() { exec "$@" 2>&1 >/dev/null; }

# Runs a flow of another guest as a step of this flow.
call_self() { # <arguments...>
  local child_undoes=1
  attend "$BASH" "$self" "$@"
}

# The plan of a flow that under_locks would run. Checks the locks `wanted` with `call`.
plan_under_locks() { # <operands...>
  attend "${call[@]}" --failure-exit-code 5 --dry-run "${wanted[@]}" -- true
  after="-euo pipefail <<'END'" show "${call[@]}" "${wanted[@]}" -- bash
  room_needed=0
  "${verb}_locked" "$@"
  plan_line END
}

# In a dry run, refuses what the real call would refuse.
check() { # <command...>
  ((!dry_run)) || attend without_output "$@"
}

# Runs a step that changes nothing, in a dry run as well.
look() { # <command...>
  show "$@"
  attend "$@"
}

step() { # <command...>
  show "$@"
  ((dry_run)) || attend "$@"
}

capture() { # <variable> <its value in a dry run> <command...>
  show "${@:3}"
  if ((dry_run)); then
    printf -v "$1" '%s' "$2"
  else
    ask "$1" "${@:3}"
  fi
}

# Runs a step whose failure is an answer, and prints nothing.
probe() { # <command...>
  local status=0
  attend without_both "$@" || status=$?
  step_error='' failed_step=''
  return "$status"
}

# In a dry run, fails if the store has no room for the blocks that cannot be shared and would be copied.
check_room() { # <how many times> <options, FILE or DIR of reflink-clone...>
  local report record space free reserved_free size
  ((dry_run)) || return 0
  ask report reflink-clone --dry-run --json "${@:2}" "$root/.dry-run" || exit $?
  while IFS= read -r record; do
    [[ $record != '{"type":"total",'* || ! $record =~ \"bytes_copied\":([0-9]+) ]] \
      || room_needed=$((room_needed + BASH_REMATCH[1] * $1))
  done <<<"$report"
  ask space stat --file-system --format='%f %a %S' -- "$root"
  read -r free reserved_free size <<<"$space"
  ((EUID == 0)) || free=$reserved_free
  ((room_needed <= free * size)) \
    || fail 5 "cannot copy to '$root': it needs $((room_needed >> 20)) MiB, $((free * size >> 20)) MiB are free"
}
