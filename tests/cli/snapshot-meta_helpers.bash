# SPDX-License-Identifier: Apache-2.0
# Makes guests with a complete snapshot of 2 MiB.
# shellcheck shell=bash

# Makes a snapshot in the working directory: state, memory (4 data pages at its start) and disks.
# shellcheck disable=SC2120 # other files give arguments
make_snapshot() { # [KIND=TEXT]...: what the state names
  rm -f state memory
  "$HELPERS/write-vmstate" state 10.0.0 2 "$@"
  head -c 16384 /dev/zero | tr '\0' m >memory
  truncate -s 2M memory
}

# Makes a guest in Standby from that snapshot. Its drives have no files, as in a guest that another program made.
init_guest() { # <id> [KIND=TEXT]...
  # shellcheck disable=SC2119 # not the arguments of init_guest
  make_snapshot
  snapshot-meta init "$1" --state state --memory memory
  if (($# > 1)); then replace_state "$1" 10.0.0 "${@:2}"; fi
}

# As another program may.
replace_state() { # <id> <snapshot version> [KIND=TEXT]...
  "$HELPERS/write-vmstate" "$(state_of "$1")" "$2" 2 "${@:3}"
}

guest_dir() { # <id>
  printf '%s' "$SNAPFORK_ROOT/guests/$1"
}

memory_of() { # <id>
  printf '%s' "$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/memory"
}

state_of() { # <id>
  printf '%s' "$SNAPFORK_ROOT/guests/$1/snapshots/snapshot-latest/state"
}

init_template() { # <id> [KIND=TEXT]...
  init_guest "$@"
  chmod a-w "$(memory_of "$1")"
  snapshot-meta promote "$1"
}

# Does the work of reflink-clone between fork-begin and fork-publish.
clone() { # <source> <new> link|reflink
  local dir=$SNAPFORK_ROOT/.snapfork/tmp/fork.$2
  cp -a --reflink=auto "$(guest_dir "$1")" "$dir"
  rm -rf "$dir/template"
  if [[ $3 == link ]]; then
    ln -f "$(memory_of "$1")" "$dir/snapshots/snapshot-latest/memory"
  fi
}

make_fork() { # <source> <new>...
  local source=$1 id _ memory
  shift
  while IFS=$'\t' read -r id _ memory _; do
    clone "$source" "$id" "$memory"
  done < <(snapshot-meta fork-begin "$source" "$@")
  snapshot-meta fork-publish "$source" "$@" --backend file
}

# Prints all paths and contents of the store, to check that nothing changed. Lock files are omitted, because a query creates and removes them.
store_picture() {
  (cd "$SNAPFORK_ROOT" && find . -path ./.snapfork/locks -prune -o -printf '%p %y %m %s %n\n' | sort \
    && find . -path ./.snapfork -prune -o -type f -exec sha256sum {} + | sort)
}
