# crash_helpers.bash: kill -9 at every place of a flow where a crash could leave something.
# shellcheck shell=bash

# The system calls that change what is on the disk, and the ones that make it last.
readonly CHANGES=mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,symlinkat,fsync,fdatasync,ftruncate,fallocate,ioctl

# Puts stand-ins for the programs of a flow on the PATH. Of all calls of them in a flow, number KILL_STEP
# (from 0) is killed at its system call number KILL_CALL of CHANGES (from 1); with KILL_ALL its whole
# process group, too. That it happened is to be seen in $CRASH_DIR/killed.
make_stand_ins() {
  local program
  CRASH_DIR=$BATS_TEST_TMPDIR/crash
  mkdir -p "$CRASH_DIR/bin"
  export CRASH_DIR CHANGES
  for program in snapshot-meta reflink-clone uffd-serve rm; do
    cat >"$CRASH_DIR/bin/$program" <<STAND_IN
#!/bin/bash
step=\$(<"\$CRASH_DIR/steps")
echo \$((step + 1)) >"\$CRASH_DIR/steps"
((step == KILL_STEP)) || exec $(type -P "$program") "\$@"
echo "$program \$1" >"\$CRASH_DIR/at"
strace -f -qq -o /dev/null -e trace=\$CHANGES -e inject=\$CHANGES:signal=KILL:when=\$KILL_CALL \\
  -- $(type -P "$program") "\$@"
status=\$?
((status == 137)) || exit \$status
: >"\$CRASH_DIR/killed"
[[ -z \$KILL_ALL ]] || kill -KILL 0
exit 137
STAND_IN
    chmod +x "$CRASH_DIR/bin/$program"
  done
}

# Runs a command in a process group of its own, to be killed as above. Succeeds when it was.
killed_at() { # <step> <call> <command...>
  rm -f "$CRASH_DIR/killed" "$CRASH_DIR/at"
  echo 0 >"$CRASH_DIR/steps"
  KILL_STEP=$1 KILL_CALL=$2 PATH=$CRASH_DIR/bin:$PATH \
    setsid --wait "${@:3}" >"$CRASH_DIR/output" 2>&1 </dev/null 3>&- 4>&- || true
  [[ -e $CRASH_DIR/killed ]]
}

# For each place of a flow: prepare, the flow until it is killed there, check. Prints how many there were.
at_each_place() { # <prepare> <check> <flow...>
  local prepare=$1 check=$2 step=0 call steps places=0
  shift 2
  while :; do
    call=1
    while "$prepare" && killed_at "$step" "$call" "$@"; do
      "$check" || fail "after '$(<"$CRASH_DIR/at")' was killed at change $call: $(<"$CRASH_DIR/output")"
      ((call += 1, places += 1))
    done
    steps=$(<"$CRASH_DIR/steps")
    "$check" || fail "after a flow that was not killed: $(<"$CRASH_DIR/output")"
    ((step += 1))
    ((step < steps)) || break
  done
  printf '# %d places\n' "$places" >&3
  ((places > 10))
}
