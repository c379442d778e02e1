#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compares the includes between the folders of src/ with the table in ARCHITECTURE.md. Called by `make lint`.
set -euo pipefail
shopt -s inherit_errexit

main() {
  cd "$(dirname "$0")/.."
  git ls-files --cached --others --exclude-standard 'src/*.cc' 'src/*.h' | while read -r file; do
    [[ ! -e $file ]] || sed -nE 's|^#include "([a-z/]+)/[a-z0-9_]+\.h".*|\1|p' "$file" | sed "s|^|$file |"
  done | awk '
    FILENAME == "ARCHITECTURE.md" && /^\| `[a-z\/]*[a-z]` \|/ {
      columns = split($0, column, " *[|] *")
      folder = column[2]; gsub(/`/, "", folder); known[folder] = 1
      count = split(column[columns - 1], included, " ")
      for (i = 1; i <= count; i++) { gsub(/`/, "", included[i]); allowed[folder, included[i]] = 1 }
    }
    FILENAME == "ARCHITECTURE.md" { next }
    {
      folder = $1; sub(/^src\//, "", folder); sub(/\/[^\/]*$/, "", folder)
      if (folder == $2) next
      if (!(folder in known)) problem = "is in a folder that the table in ARCHITECTURE.md does not name"
      else if (!((folder, $2) in allowed)) problem = "includes a header of `" $2 "`; the table in ARCHITECTURE.md does not allow that"
      else { used[folder, $2] = 1; next }
      if (!seen[folder, $2]++) { print $1 ": " problem > "/dev/stderr"; failed = 1 }
    }
    END {
      for (arrow in allowed) if (!(arrow in used)) {
        split(arrow, ends, SUBSEP)
        print "ARCHITECTURE.md: nothing in `" ends[1] "` includes `" ends[2] "` any longer" > "/dev/stderr"; failed = 1
      }
      exit failed
    }' ARCHITECTURE.md -
}

main "$@"
