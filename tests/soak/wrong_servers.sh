#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds servers and keepers that are wrong on purpose, for tests/soak/uffd-keeper.bats: wrong_servers.sh BUILD-DIR DIR
#
# Each is the program with one source changed by sed; everything else comes from the archive of the build.
set -euo pipefail
shopt -s inherit_errexit

build=$1 dir=$2

# wrong NAME PROGRAM SOURCE SED...: DIR/NAME/PROGRAM, beside links to the right programs.
wrong() {
  local name=$1 program=$2 source=$3 flags
  shift 3
  mkdir -p "$dir/$name"
  cp -L "$(type -P uffd-serve)" "$(type -P uffd-keeper)" "$dir/$name/" # each finds the other beside its own file
  sed -E "$@" "$source" >"$dir/$name/changed.cc"
  if cmp -s "$source" "$dir/$name/changed.cc"; then
    printf '%s: the expression does not match %s\n' "$name" "$source" >&2
    return 1
  fi
  flags=$(pkg-config --cflags --libs libmicrohttpd libxxhash mount blkid)
  rm "$dir/$name/$program"
  # shellcheck disable=SC2086 # a list
  ${CXX:-g++} -std=c++20 -pthread -O1 -Isrc -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 "$dir/$name/changed.cc" \
    "$build/src/pager/$program.o" "$build/libsnapfork.a" $flags -o "$dir/$name/$program"
}

cd "$(dirname "$0")/../.."
# A fault that was read and not answered is not raised again.
wrong no-wake uffd-serve src/pager/faults/fault_loop.cc \
  '/^uint64_t FaultLoop::take_over/,/^}/ s/uffd_wake\(parts_.uffd, in.region.base, in.region.size\);//'
# A removal that was read and not marked is lost.
wrong no-ring uffd-serve src/pager/faults/fault_loop.cc \
  '/^uint64_t FaultLoop::take_over/,/^}/ s/^    mark_removal\(message\);//'
# A server that is stopped counts as ended: it continues beside its successor.
wrong two-servers uffd-keeper src/pager/keep/kept_server.cc \
  's/WEXITED \| WNOHANG/WEXITED | WSTOPPED | WNOHANG/'
