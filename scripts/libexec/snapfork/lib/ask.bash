# SPDX-License-Identifier: Apache-2.0
# ask.bash: runs a step of a flow as a child, and reads its output. steps.bash has the other forms.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

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
# If the parts have not been read, they are read while it runs.
ask() { # <variable> <command...>
  local pipe status=0
  # A child as in `attend`: bash 5.2 sometimes loses the exit status of a process substitution. One pipe serves all calls:
  # its reading end reports the end of file when the last writer of a call has closed it.
  exec {pipe}>"/dev/fd/$answers"
  begin_child
  "${@:2}" <&0 >&"$pipe" {pipe}>&- {answers}<&- &
  child=$! starting=0
  exec {pipe}>&-
  read_parts
  read_answer
  end_step "${@:2}" || status=$?
  printf -v "$1" '%s' "${answer%$'\n'}"
  return "$status"
}

# Reads `answer` to the end of file.
# A trap of a signal that comes just before `read` blocks runs only when it ends; with -t, it ends each second. But with
# -t, bash makes two system calls for each byte: a millisecond for the record of a fork. So only the beginning is read that
# way, which is all of most answers. The programs answer once their work is done: the rest and the end come at once. With -N,
# `read` does not read the pipe byte by byte.
read_answer() {
  local part status=0
  answer=''
  while ((status == 0 || status > 128)); do
    status=0
    if ((${#answer} < 256)); then
      IFS= read -r -N $((256 - ${#answer})) -t 1 part <&"$answers" || status=$?
    else
      IFS= read -r -N 65536 part <&"$answers" || status=$?
    fi
    answer+=$part
  done
}

# Until `child` is set, a signal finds the child by `last_child`; see end_by.
begin_child() {
  last_child=${!-} starting=1
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
