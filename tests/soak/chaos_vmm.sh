#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Replaces a VMM in tests/soak/chaos.sh: chaos_vmm.sh DIR STORE ID. Reads all its memory, from the page server if a session
# waits, and stays until it is ended.
set -uo pipefail

dir=$1
guest=$dir/$2/guests/$3
memory=$guest/snapshots/snapshot-latest/memory
session=$(snapshot-meta session-name "$3" 2>/dev/null) || session=
socket=$dir/run/s/$session.sock
export CHAOS_VMM=1 # chaos.sh finds it by this variable
if [[ -S $socket ]]; then
  exec uffd-probe --json --hold --deadline 20 --socket "$socket" --mem "$memory" <>"$dir/never"
fi
sha256sum "$memory" >/dev/null
exec tail -f /dev/null
