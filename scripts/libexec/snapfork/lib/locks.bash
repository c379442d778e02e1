# SPDX-License-Identifier: Apache-2.0
# locks.bash: runs a flow under the locks of its guests, with template-lock.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly lock_file_replaced=75 # exit status of template-lock --fd: open the lock file again
readonly most_attempts=100     # to lock a file that others remove in between

lock_fds=()                      # the locks of this process; its steps inherit them
outer_locks=${SNAPFORK_LOCK_FD-} # the locks of the caller
lock_words=()                    # of template-lock: the locks, with the descriptors
first_step=()                    # a step that template-lock becomes when it has the locks: one process less to start
first_answer=''                  # its output
locked=0                         # 1: this flow has its locks

# Runs VERB_locked OPERANDS under locks. The locks end with the last process of the flow, so an orphaned step of a killed
# driver still excludes all other flows.
under_locks() { # <options and ids of template-lock...> ::: <operands...>
  local wanted=() call=(template-lock)
  until [[ $1 == ::: ]]; do
    [[ $1 == --no-wait && -n $lock_timeout ]] || wanted+=("$1")
    shift
  done
  shift
  ((!quiet)) || call+=(-q)
  [[ -z $lock_timeout ]] || call+=(--timeout "$lock_timeout")
  if ((dry_run)); then
    plan_under_locks "$@"
    return
  fi
  take_locks
  "${verb}_locked" "$@"
}

# Takes the locks `wanted` with `call`.
take_locks() {
  local word status opened unusable attempt with_fds
  for ((attempt = 0; attempt < most_attempts; attempt++)); do
    lock_fds=() lock_words=() status=0 unusable=0
    for word in "${wanted[@]}"; do
      if [[ $word != --* ]]; then
        open_lock "$word"
        lock_fds+=("$opened")
        lock_words+=(--fd "$opened")
      fi
      lock_words+=("$word")
    done
    with_fds=("${call[@]}" "${lock_words[@]}")
    ((!unusable)) || with_fds=(template-lock -q "${with_fds[@]:1}")
    ((!${#first_step[@]})) || with_fds+=(-- "${first_step[@]}")
    show "${with_fds[@]}"
    ask first_answer "${with_fds[@]}" || status=$?
    ((status == lock_file_replaced)) || break
    close_locks
  done
  ((status != lock_file_replaced)) || fail 5 "cannot lock ${wanted[*]}: other processes remove the lock files again and again"
  ((!status)) || exit "$status"
  locked=1
  pass_locks_on
}

pass_locks_on() {
  local fds
  printf -v fds '%s,' "${lock_fds[@]}"
  export SNAPFORK_LOCK_FD=${outer_locks:+$outer_locks,}${fds%,}
}

# Sets `opened` to a descriptor of the lock file, for template-lock to lock; creates the file if it does not exist. If that
# fails, opens the directory of lock files, which template-lock locks on a full disk, or nothing: then template-lock makes
# the directory, or reports why it cannot lock, and the lock file is opened again.
open_lock() { # <id>
  local path=$root/.snapfork/locks/$1.lock redirection='<'
  if [[ ! -e $path && ! -L $path ]] && create_lock "$path"; then
    redirection='>'
  else
    [[ -f $path && ! -L $path ]] || unusable=1 path=${path%/*}
    { exec {opened}<"$path"; } 2>/dev/null || exec {opened}</dev/null
  fi
  ((!verbose)) || printf '+ exec %d%s%q\n' "$opened" "$redirection" "$path" >&2
}

# With noclobber, bash neither follows a link nor opens a file that another process has just created.
create_lock() { # <path>
  local -
  [[ $own_status =~ Umask:$'\t'([0-7]+) ]] || return 1 # `$(umask)` would start a process
  set -o noclobber
  umask 077
  { exec {opened}>"$1"; } 2>/dev/null || opened=''
  umask "${BASH_REMATCH[1]}"
  [[ -n $opened ]]
}

close_locks() {
  local fd
  for fd in "${lock_fds[@]}"; do exec {fd}<&-; done
  lock_fds=()
}
