#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source file has the license tag on line 1 (line 2 after "#!") and a comment with its purpose on the next line.
# Called by `make lint`.
#
#   check-headers.sh FILE...   check these files
#   check-headers.sh           check all files of clean folders; print a count for each folder of `not_clean`
set -euo pipefail
shopt -s inherit_errexit

# Folders in which not every file has both yet. Their files are counted and are not errors. Remove an entry when its count
# is 0; when the list is empty, remove the list.
not_clean=(
  src/base
  src/clone
  src/file
  src/hot
  src/lock
  src/pager
  src/store
  tests/unit/file
  tests/unit/hot
  tests/unit/pager
)

# Prints a line for each file that lacks one of the two.
find_bad() { # <file>...
  awk '
    function start(name) { return name ~ /\.(cc|h|c|S)$/ ? "//" : "#" }
    FNR == 1 { tag = /^#!/ ? 2 : 1 }
    FNR == tag && index($0, start(FILENAME) " SPDX-License-Identifier: Apache-2.0") != 1 {
      print FILENAME ":" FNR ": no license tag on this line"
    }
    FNR == tag + 1 {
      # What the first line says to a tool is not a purpose.
      if (index($0, start(FILENAME) " ") != 1 && $0 !~ /^\/\*/ || /shellcheck|SPDX|NOLINT/) {
        print FILENAME ":" FNR ": no comment with the purpose of the file on this line"
      }
      nextfile
    }' "$@"
}

main() {
  cd "$(dirname "$0")/.."
  local files=("$@") found folder
  if ((!$#)); then
    mapfile -t files < <(
      {
        git ls-files --cached --others --exclude-standard '*.cc' '*.h' '*.c' '*.S'
        make -s list-shell | tr ' ' '\n'
      } | while read -r folder; do [[ ! -f $folder ]] || printf '%s\n' "$folder"; done
    )
  fi
  found=$(find_bad "${files[@]}")
  if ((!$#)); then
    for folder in "${not_clean[@]}"; do
      printf '%5d  %s\n' "$(grep -c "^${folder}[/:]" <<<"$found" || true)" "$folder"
      found=$(grep -v "^${folder}[/:]" <<<"$found" || true)
    done
  fi
  [[ -n $found ]] || return 0
  printf '%s\n' "$found" >&2
  return 1
}

main "$@"
