# SPDX-License-Identifier: Apache-2.0
# steps.bash: runs the steps of a flow as children, and undoes the flow after a failure or a signal.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly step_timeout=5 # seconds from SIGTERM to SIGKILL of a step

answer=''      # see `ask`
answers=''     # the pipe of `ask`; main opens it
child=''       # the current step
last_child=''  # the previous step
starting=0     # 1: a step is being started, and `child` is not set to it yet
child_undoes=0 # 1: the step is a flow, which undoes its own work
undo=''        # the function that undoes the work of the flow so far
signal=''      # the signal that ends this process

# A signal to this process ends the current step, undoes the flow, and then ends this process. While the flow is undone,
# and once its result is printed, signals are ignored. bash runs a trap only between foreground commands, but at once
# during `wait` and `read`; so steps are background children.
catch_signals() {
  trap 'end_by HUP' HUP
  trap 'end_by INT' INT
  trap 'end_by TERM' TERM
  trap at_exit EXIT
}

hold_signals() {
  trap '' HUP INT TERM
}

end_by() { # <signal>
  hold_signals
  signal=$1
  ((!starting)) || [[ ${!-} == "$last_child" ]] || child=${!-}
  end_child
  exit 1 # at_exit sets the status
}

# A child that is a flow undoes its own work, and gets the time it needs. The signal is sent repeatedly: before the child
# executes its program, a signal can be lost.
end_child() {
  local sent=TERM deadline=$((SECONDS + step_timeout))
  while [[ -n $child ]] && kill -s "$sent" "$child" 2>/dev/null; do
    kill -s CONT "$child" 2>/dev/null || true
    ((child_undoes || SECONDS < deadline)) || sent=KILL
    sleep 0.02
  done
  child=''
}

at_exit() {
  local status=$?
  hold_signals
  set +e
  child_undoes=0
  [[ -z $undo ]] || open_pipe answers # the signal may have come while this process had the pipe open for writing
  local with_record=0 message=''
  if ((status && !reported)) && [[ -n $errors ]]; then
    with_record=1
    # What this process itself wrote, after the last step that failed.
    if read -r -t 0 -u "$errors"; then take_error snapfork; fi
  fi
  unset SNAPFORK_ERROR_FD
  [[ -z $signal ]] || message="cannot finish '$verb': ended by SIG$signal"
  if [[ -n $undo ]]; then
    message+=${signal:+; what it did is undone}
    [[ -z $signal ]] || printf 'snapfork: %s\n' "$message" >&2
    (json=0 && "$undo")
  fi
  # run uses the statuses of env(1): 3 to 5 would look like an exit status of CMD.
  [[ $verb != run || $status != [345] ]] || status=125
  case $signal in
    HUP) status=129 ;;
    TERM) status=143 ;;
    INT) status=130 ;;
  esac
  ((!with_record)) || report_failure "$status" "$message"
  case $signal in
    INT)
      trap - INT EXIT
      kill -s INT "$BASHPID" # a shell that called us ends itself by SIGINT only if we end by it
      ;;
  esac
  exit "$status"
}

# Runs a step and waits for it. Returns 5 if it was killed.
attend() { # <command...>
  begin_child
  "$@" <&0 &
  end_step "$@"
}

# Runs a flow of another guest as a step of this flow.
call_self() { # <arguments...>
  local child_undoes=1
  attend "$BASH" "$self" "$@"
}

# Opens a pipe for reading; a writer opens /dev/fd/N. bash makes a pipe for a short here-string. <(:) also starts a
# process, which takes 0.4 ms.
open_pipe() { # <variable for the descriptor>
  local read_end
  exec {read_end}<<<''
  [[ -p /dev/fd/$read_end ]] || fail 3 'cannot make a pipe: bash 5.1 or later is needed'
  read -r -u "$read_end"
  printf -v "$1" '%d' "$read_end"
}

# Runs a step as `attend` does, and sets a variable to its standard output. `answer` also has the newline at its end.
# `$(...)` must not be used where a trap can run: bash 5.2 then parses the trap as a part of it ("unexpected EOF while
# looking for matching `)'"), and the flow ends with status 2 or continues. scripts/check-traps.sh finds it.
ask() { # <variable> <command...>
  local pipe part text='' status=0
  # A child as in `attend`: bash 5.2 sometimes loses the exit status of a process substitution. One pipe serves all calls:
  # its reading end reports the end of file when the last writer of a call has closed it.
  exec {pipe}>"/dev/fd/$answers"
  begin_child
  "${@:2}" <&0 >&"$pipe" {pipe}>&- {answers}<&- &
  child=$! starting=0
  exec {pipe}>&-
  # With -N, `read` does not read the pipe byte by byte. With -t, it ends each second: a trap of a signal that comes just
  # before `read` blocks runs only when it ends.
  while ((status == 0 || status > 128)); do
    status=0
    IFS= read -r -N 65536 -t 1 part <&"$answers" || status=$?
    text+=$part
  done
  status=0
  end_step "${@:2}" || status=$?
  answer=$text
  printf -v "$1" '%s' "${text%$'\n'}"
  return "$status"
}

begin_child() {
  last_child=${!-} starting=1
}

# One of these words before the program of a step redirects its output. A redirection of `step` itself would also be that
# of a trap that runs while the step does, so the messages and the record of the trap would be lost.
without_output() { exec "$@" >/dev/null; }
without_messages() { exec "$@" 2>/dev/null; }
without_both() { exec "$@" >/dev/null 2>&1; }
with_messages() { exec "$@" 2>&1; }
# shellcheck disable=SC2069 # not the standard output
with_only_messages() { exec "$@" 2>&1 >/dev/null; }

end_step() { # <command...>
  local status=0
  [[ $1 != with*_* ]] || shift # see without_output
  child=$! starting=0
  wait "$child" 2>/dev/null || status=$? # bash would print that the child was killed
  child=''
  if ((status > 128 && !child_undoes)); then
    printf "snapfork: '%s' was killed by signal %d\n" "$1" $((status - 128)) >&2
    fail_record 5 "'$1' was killed by signal $((status - 128))"
    status=5
  fi
  take_error "$1"
  ((status)) || step_error='' failed_step=''
  return "$status"
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

note_failure() { # <exit status>
  ((first_failure)) || first_failure=$1 first_error=$step_error
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
