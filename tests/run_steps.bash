# SPDX-License-Identifier: Apache-2.0
# run_steps.bash: what tests of `run` with and without a jail share: a template with devices, and a run that stops at a step.
# shellcheck shell=bash disable=SC2154 # variables of the tests

# Makes a template `base` with a memory of 4 MiB, a disk and a vsock device.
make_template_with_devices() {
  printf 'rootfs of base\n' >rootfs
  truncate -s 1M rootfs
  "$HELPERS/write-vmstate" state 10.0.0 4 drive=/somewhere/rootfs vsock=/somewhere/v.sock
  head -c 4M /dev/urandom >memory
  snapfork import base --state state --memory memory --disk rootfs=/somewhere/rootfs
  snapfork promote base
}

vm_dir() { # <id>
  printf '%s/run/vm/%s' "$BATS_TEST_TMPDIR" "$(snapshot-meta session-name "$1")"
}

# Prints the pid of the fc-run that started the VMM of a guest.
runner_of() { # <id>
  ps -o ppid= -p "$(cut -d ' ' -f 1 "$(vm_dir "$1")/pid")" | tr -d ' '
}

# Starts `run` of the fork `a` and waits until it stops at a step: run-prepare, fc-run, run-begin, load, hook, or resume. Its
# pid is in spawned_pid, that of the step in the file `reached`. The step must not watch its standard output, as tail does: it
# would end with a driver that is killed.
stop_run_at() { # <step> [option of run]...
  local program
  rm -f reached
  mkdir -p bin
  for program in snapshot-meta fc-run fc-api; do
    cat >"bin/$program" <<SH
#!/bin/bash
case "$1:$program \$*" in
  run-prepare:*' run-prepare '* | run-begin:*' run-begin '* | fc-run:fc-run*--caller* \
    | load:*/snapshot/load* | resume:*Resumed*)
    echo "\$\$" >reached
    exec sleep infinity
    ;;
esac
exec '$(PATH=${PATH#"$PWD/bin:"} type -P "$program")' "\$@"
SH
    chmod +x "bin/$program"
  done
  PATH=$PWD/bin:$PATH spawn_to out "$(type -P snapfork)" -q run --detach --firecracker "$fake" "${@:2}" \
    --after-load "[[ $1 != hook ]] || { echo \$\$ >reached; exec sleep infinity; }" a
  wait_until 20 test -s reached || fail "$1: $(<out)"
}
