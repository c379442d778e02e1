#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Firecracker accepts each body that snapshot-meta load-request prints for its version.
# shellcheck disable=SC2154 # variables of the helpers

load helpers
load flow_helpers

setup() {
  flow_setup
  version=$("$firecracker" --version | sed -n '1s/^Firecracker v//p')
  tap=sfl$$
}

teardown() {
  stop_everything
  ip link delete "${tap}a" 2>/dev/null || true
  ip link delete "${tap}b" 2>/dev/null || true
}

# Imports a guest; $sum is its sum.
make_guest() { # <id> [json: more of its configuration]
  take_snapshot "$BATS_TEST_TMPDIR/snapshot" 'guest.seed=7' "${@:2}"
  snapfork import "$1" --state "$BATS_TEST_TMPDIR/snapshot/state" --memory "$BATS_TEST_TMPDIR/snapshot/memory" \
    --firecracker "$firecracker"
}

# Loads the guest with the body for this Firecracker, and checks that it runs or is paused.
accepts() { # <id> [option of load-request]...
  local body state=Running
  [[ $* != *--no-resume* ]] || state=Paused
  body=$(snapshot-meta load-request --backend file "${@:2}" "$1")
  vm_restore again "$body"
  [[ $(vm_api again GET / | jq -r .state) == "$state" ]] || fail "$body" || return
  if [[ $state == Running ]]; then
    [[ $(vm_ask again sum) == "$sum" ]] || fail "$body" || return
  fi
  vm_kill again
}

@test "the version that the program prints is that of its API, and is recorded" {
  make_guest a
  [[ $(snapshot-meta get a snapfork.vmm.version) == "$version" ]]
  vm_start source
  [[ $(vm_api source GET /version | jq -r .firecracker_version) == "$version" ]]
}

@test "Firecracker accepts each body of load-request for its version, and without a version" {
  make_guest a
  local option
  for option in --no-resume '--clock keep' --track-dirty-pages "--vmm-version $version"; do
    # shellcheck disable=SC2086 # an option and its value
    accepts a $option
  done
  accepts a --track-dirty-pages --clock auto
  case $version in
    1.9.* | 1.1[0-3].* | 1.14.[0-3] | 1.15.0) option=null ;;
    *) option=true ;;
  esac
  [[ $(snapshot-meta load-request --backend file a | jq .clock_realtime) == "$option" ]]
  snapshot-meta unset a snapfork.vmm
  accepts a
}

@test "Firecracker uses the tap that load-request names" {
  for tap in "${tap}a" "${tap}b"; do
    ip tuntap add mode tap name "$tap" || skip 'this machine cannot make a tap'
  done
  tap=${tap%b}
  make_guest a '{"network-interfaces": [{"iface_id": "eth0", "host_dev_name": "'"${tap}a"'"}]}'
  ip link delete "${tap}a"
  local body
  body=$(snapshot-meta load-request --backend file --tap "eth0=${tap}b" --vmm-version "$version" a)
  ip link set "${tap}b" up
  [[ $(<"/sys/class/net/${tap}b/carrier") == 0 ]]
  vm_restore again "$body"
  # A tap has a carrier while a process has it open.
  [[ $(<"/sys/class/net/${tap}b/carrier") == 1 && ! -e /sys/class/net/${tap}a ]]
  vm_kill again
}
