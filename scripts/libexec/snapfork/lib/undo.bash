# SPDX-License-Identifier: Apache-2.0
# undo.bash: ends the steps of a flow, and undoes it, after a failure or a signal.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly step_timeout=5 # seconds from SIGTERM to SIGKILL of a step

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

end_child() {
  [[ -z $feeder ]] || end_process "$feeder"
  [[ -z $child ]] || end_process "$child"
  feeder='' child=''
}

# A child that is a flow undoes its own work, and gets the time it needs. The signal is sent repeatedly: before the child
# executes its program, a signal can be lost.
end_process() { # <pid>
  local sent=TERM deadline=$((SECONDS + step_timeout))
  while kill -s "$sent" "$1" 2>/dev/null; do
    kill -s CONT "$1" 2>/dev/null || true
    ((child_undoes || SECONDS < deadline)) || sent=KILL
    sleep 0.02
  done
}

at_exit() { # <exit status>
  local status=$1
  hold_signals
  set +e
  child_undoes=0
  end_child
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
