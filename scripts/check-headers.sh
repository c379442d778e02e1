#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source file has the license tag on line 1 (line 2 after "#!") and a comment with its purpose on the next line.
# Called by `make lint`.
#
#   check-headers.sh [FILE...]   check these files (all)
set -euo pipefail
shopt -s inherit_errexit

# Prints a line for each file that lacks one of the two.
find_bad() { # <file>...
  awk '
    function start(name) { return name ~ /\.(cc|h|c|S)$/ ? "//" : "#" }
    FNR == 1 { tag = /^#!/ ? 2 : 1 }
    FNR == tag && index($0, start(FILENAME) " SPDX-License-Identifier: Apache-2.0") != 1 {
      print FILENAME ":" FNR ": no license tag on this line"
    }
    FNR == tag + 1 {
      # A directive to a tool is not a purpose.
      if (index($0, start(FILENAME) " ") != 1 && $0 !~ /^\/\*/ || /shellcheck|SPDX|NOLINT/) {
        print FILENAME ":" FNR ": no comment with the purpose of the file on this line"
      }
      nextfile
    }' "$@"
}

main() {
  cd "$(dirname "$0")/.."
  local files=("$@") found file
  if ((!$#)); then
    mapfile -t files < <(
      {
        git ls-files --cached --others --exclude-standard '*.cc' '*.h' '*.c' '*.S'
        make -s list-shell | tr ' ' '\n'
      } | while IFS= read -r file; do [[ ! -f $file ]] || printf '%s\n' "$file"; done
    )
  fi
  found=$(find_bad "${files[@]}")
  [[ -n $found ]] || return 0
  printf '%s\n' "$found" >&2
  return 1
}

main "$@"
