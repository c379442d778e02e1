# SPDX-License-Identifier: Apache-2.0
# steps.bash: runs the steps of a flow as children. ask.bash has the form whose output is read.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Runs a step and waits for it. Returns 5 if it was killed.
attend() { # <command...>
  begin_child
  "$@" <&0 &
  end_step "$@"
}

# Runs two steps at the same time, of which the second reads the output of the first. Sets `answer` to the output of the
# second, and `feeder_status` to the status of the first. Returns that if it failed, else the status of the second. The
# second must read to the end of file before it does anything else.
ask_pipeline() { # <command...> '|' <command...>
  local first=() pipe between status=0
  feeder_status=0
  until [[ $1 == '|' ]]; do
    first+=("$1")
    shift
  done
  shift
  open_pipe between
  exec {pipe}>"/dev/fd/$between"
  begin_child
  "${first[@]}" <&0 >&"$pipe" {pipe}>&- {between}<&- {answers}<&- &
  feeder=$!
  exec {pipe}>&- {pipe}>"/dev/fd/$answers"
  begin_child
  "$@" <&"$between" >&"$pipe" {pipe}>&- {between}<&- {answers}<&- &
  child=$! starting=0
  exec {pipe}>&- {between}<&-
  read_parts
  read_answer
  await_child "$1" || status=$?
  child=$feeder feeder=''
  await_child "${first[0]}" || feeder_status=$?
  ((!feeder_status)) || status=$feeder_status
  [[ -z $errors ]] || take_error "${first[0]}"
  ((status)) || step_error='' failed_step=''
  return "$status"
}

note_failure() { # <exit status>
  ((first_failure)) || first_failure=$1 first_error=$step_error
}
