# SPDX-License-Identifier: Apache-2.0
# steps.bash: runs the steps of a flow as children.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

# Runs a step and waits for it. Returns 5 if it was killed.
attend() { # <command...>
  begin_child
  "$@" <&0 &
  end_step "$@"
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
# If the parts have not been read, they are read while it runs, or while a later step runs; see reads_later.
ask() { # <variable> <command...>
  local pipe status=0
  # A child as in `attend`: bash 5.2 sometimes loses the exit status of a process substitution. One pipe serves all calls:
  # its reading end reports the end of file when the last writer of a call has closed it.
  exec {pipe}>"/dev/fd/$answers"
  begin_child
  "${@:2}" <&0 >&"$pipe" {pipe}>&- {answers}<&- &
  child=$! starting=0
  exec {pipe}>&-
  ((--reads_later > 0)) || read_parts
  read_answer
  end_step "${@:2}" || status=$?
  printf -v "$1" '%s' "${answer%$'\n'}"
  return "$status"
}

# Reads `answer` to the end of file.
# A trap of a signal that comes just before `read` blocks runs only when it ends; with -t, it ends each second. But with
# -t, bash makes two system calls for each byte. The programs answer once their work is done, so only the first byte can
# take long. With -N, `read` does not read the pipe byte by byte.
read_answer() {
  local part status=0
  answer=''
  while ((status == 0 || status > 128)); do
    status=0
    if [[ -z $answer ]]; then
      IFS= read -r -N 1 -t 1 part <&"$answers" || status=$?
    else
      IFS= read -r -N 65536 part <&"$answers" || status=$?
    fi
    answer+=$part
  done
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

end_step() { # <command...>
  local status=0
  [[ $1 != with*_* ]] || shift # see without_output
  child=$! starting=0
  await_child "$1" || status=$?
  [[ -z $errors ]] || take_error "$1"
  ((status)) || step_error='' failed_step=''
  return "$status"
}

# Waits for `child`. Returns its status, or 5 if it was killed.
await_child() { # <its program>
  local status=0
  wait "$child" 2>/dev/null || status=$? # bash would print that the child was killed
  child=''
  if ((status > 128 && !child_undoes)); then
    read_parts
    printf "snapfork: '%s' was killed by signal %d\n" "$1" $((status - 128)) >&2
    fail_record 5 "'$1' was killed by signal $((status - 128))"
    status=5
  fi
  return "$status"
}

note_failure() { # <exit status>
  ((first_failure)) || first_failure=$1 first_error=$step_error
}
