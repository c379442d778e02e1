# SPDX-License-Identifier: Apache-2.0
# crash_helpers.bash: kill -9 at every point of a flow where a crash could leave something.
# shellcheck shell=bash

# The system calls that change the disk, flush it, or send a request to the page server.
readonly CHANGES=mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,symlinkat,fsync,fdatasync,ftruncate,fallocate,ioctl,copy_file_range,connect,sendto,sendmsg

# Puts wrappers of the programs of a flow on the PATH, which name their calls PROGRAM-ARGUMENT-NUMBER. Either all changes of each call are
# recorded; or call KILL_STEP is killed at its KILL_NTH system call KILL_CALL, and with KILL_ALL its whole process group;
# or, if KILL_CALL is "driver", the driver is killed when the call begins, and the call continues. If a process was killed,
# $CRASH_DIR/killed exists.
make_stand_ins() {
  local program
  CRASH_DIR=$BATS_TEST_TMPDIR/crash
  mkdir -p "$CRASH_DIR/bin"
  export CRASH_DIR CHANGES
  for program in snapshot-meta reflink-clone uffd-keeper uffd-ctl fc-api fc-run template-lock rm; do
    cat >"$CRASH_DIR/bin/$program" <<STAND_IN
#!/bin/bash
real=$(type -P "$program")
# The driver starts the page server without its environment.
[[ -v CRASH_DIR ]] || exec "\$real" "\$@"
# The flow itself, or its first step, which has a stand-in of its own, runs there.
[[ $program != template-lock || " \$* " != *\ --@(fd|shared|exclusive)\ * ]] || exec "\$real" "\$@"
# Two steps can start at the same time, so each has a name that does not depend on the other.
call=$program-\${1##*/}
number=\$(grep -cxF -- "\$call" "\$CRASH_DIR/calls") || true
echo "\$call" >>"\$CRASH_DIR/calls"
step=\$call-\$number
echo "\$step" >>"\$CRASH_DIR/steps"
if [[ -z \$KILL_STEP ]]; then
  echo "$program \$1" >"\$CRASH_DIR/step.\$step.name"
  : >"\$CRASH_DIR/step.\$step"
  # It must be a child of the driver. tests/cli/fc-run.bats kills it at its calls.
  [[ $program != fc-run ]] || exec "\$real" "\$@"
  exec strace -f -qq -o "\$CRASH_DIR/step.\$step" -e trace=\$CHANGES -- "\$real" "\$@"
fi
[[ \$step == "\$KILL_STEP" ]] || exec "\$real" "\$@"
if [[ \$KILL_CALL == driver ]]; then
  : >"\$CRASH_DIR/killed"
  # The driver is the process between this one and the leader of the process group.
  pid=\$PPID drivers=()
  while read -r _ _ _ parent group _ <"/proc/\$pid/stat"; do
    drivers+=("\$pid")
    ((pid != group)) || break
    pid=\$parent
  done
  kill -KILL "\${drivers[@]}"
  exec "\$real" "\$@"
fi
strace -f -qq -o /dev/null -e trace=\$KILL_CALL -e inject=\$KILL_CALL:signal=KILL:when=\$KILL_NTH -- \\
  "\$real" "\$@"
status=\$?
((status == 137)) || exit \$status
: >"\$CRASH_DIR/killed"
[[ -z \$KILL_ALL ]] || kill -KILL 0
exit 137
STAND_IN
    chmod +x "$CRASH_DIR/bin/$program"
  done
}

# Runs it in its own process group, so that all of it can be killed.
run_flow() { # <step> <call> <nth> <command...>
  rm -f "$CRASH_DIR/killed"
  : >"$CRASH_DIR/steps"
  : >"$CRASH_DIR/calls"
  # The shell reports each process that is killed.
  {
    KILL_STEP=$1 KILL_CALL=$2 KILL_NTH=$3 PATH=$CRASH_DIR/bin:$PATH \
      setsid --wait "${@:4}" >"$CRASH_DIR/output" 2>&1 </dev/null 3>&- 4>&-
    echo $? >"$CRASH_DIR/status"
  } 2>/dev/null || true
}

# Not killed.
run_whole_flow() { # <command...>
  run_flow '' '' '' "$@"
  [[ $(<"$CRASH_DIR/status") == 0 ]] || fail "the flow fails by itself: $(<"$CRASH_DIR/output")"
}

# Prints "STEP CALL NTH" for each change of the flow that was recorded last (those of the program `only`, if set).
places() {
  local step
  for step in $(<"$CRASH_DIR/steps"); do
    [[ $(<"$CRASH_DIR/step.$step.name") == "${only-}"* ]] || continue
    awk -v step="$step" '{
      sub(/^[0-9]+ +/, ""); name = $0; sub(/\(.*/, "", name)
      nth[name]++
      if (name != "ioctl" || /FICLONE/) print step, name, nth[name]
    }' "$CRASH_DIR/step.$step"
  done
}

# Killed processes and orphans hold the locks of their flow until they have ended.
wait_for_locks() {
  local id
  for id in base f g; do
    template-lock wait --timeout 60 "$id" || return
  done
}

# For each step of a flow: prepare, run the flow until its driver is killed there, check.
at_each_step() { # <prepare> <check> <flow...>
  local prepare=$1 check=$2 step steps=()
  shift 2
  "$prepare" || return
  run_whole_flow "$@" || return
  "$check" || return
  mapfile -t steps <"$CRASH_DIR/steps"
  for step in "${steps[@]}"; do
    "$prepare"
    run_flow "$step" driver '' "$@"
    [[ -e $CRASH_DIR/killed ]] || fail "the driver not killed at step $step, $(<"$CRASH_DIR/step.$step.name"): $(<"$CRASH_DIR/output")" || return
    wait_for_locks
    "$check" || fail "after the driver was killed in $(<"$CRASH_DIR/step.$step.name")" || return
  done
  ((${#steps[@]} >= ${least_steps:-3}))
}

# For each change of a flow: prepare, run the flow until it is killed there, check.
at_each_place() { # <prepare> <check> <flow...>
  local prepare=$1 check=$2 step call nth list
  shift 2
  "$prepare" || return
  run_whole_flow "$@" || return
  "$check" || fail 'after a flow that was not killed' "$(<"$CRASH_DIR/output")" || return
  mapfile -t list < <(places)
  ((${#list[@]} >= 2)) || fail "only ${#list[@]} places" || return
  for place in "${list[@]}"; do
    read -r step call nth <<<"$place"
    "$prepare"
    run_flow "$step" "$call" "$nth" "$@"
    [[ -e $CRASH_DIR/killed ]] || fail "not killed: $(<"$CRASH_DIR/step.$step.name"), $call $nth" || return
    wait_for_locks
    "$check" || fail "after the kill of $(<"$CRASH_DIR/step.$step.name") at its $call number $nth:" \
      "$(<"$CRASH_DIR/output")" || return
  done
  printf '# %d places\n' "${#list[@]}" >&3
}

# For one program instead of a flow: every system call that changes something, including contents and modes.
readonly WRITES=$CHANGES,openat,write,pwrite64,fchmod,fchmodat,utimensat,fsetxattr,fremovexattr

# Prints "CALL NTH" for each of them in a recording, except those that failed (and so changed nothing) and writes to
# standard output and error.
places_in() { # <recording>
  awk '{
    sub(/^[0-9]+ +/, ""); name = $0; sub(/\(.*/, "", name)
    nth[name]++
    if (/ = -1 E/) next
    if (name == "openat" && !/O_CREAT|O_TMPFILE|O_TRUNC/) next
    if (name ~ /write/ && /^[a-z0-9]+\([012],/) next
    if (name == "ioctl" && !/FICLONE/) next
    print name, nth[name]
  }' "$1"
}

# In a PID namespace without other processes, so that a program that reads /proc makes the same calls each time.
readonly ALONE=(unshare --pid --fork --mount-proc)

# For each such call of a program: prepare, run the program until it is killed just before that call, check.
at_each_call() { # <prepare> <check> <command...>
  local prepare=$1 check=$2 recording=$BATS_TEST_TMPDIR/calls list call nth place status
  shift 2
  require_namespaces "${ALONE[@]:1}"
  "$prepare"
  "${ALONE[@]}" strace -f -qq -o "$recording" -e "trace=$WRITES" -- "$@" >/dev/null || return
  "$check" || fail "after $1 that was not killed" || return
  mapfile -t list < <(places_in "$recording")
  ((${#list[@]} >= 3)) || fail "only ${#list[@]} calls" || return
  for place in "${list[@]}"; do
    read -r call nth <<<"$place"
    "$prepare"
    status=0
    {
      "${ALONE[@]}" strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=SIGKILL:when=$nth" -- "$@" \
        >/dev/null 2>&1 || status=$?
    } 2>/dev/null
    ((status == 137)) || fail "not killed at $call number $nth: status $status" || return
    "$check" || fail "after the kill at $call number $nth of: $*" || return
  done
  printf '# %d calls\n' "${#list[@]}" >&3
}
