#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Finds $(...), <(...) and >(...) in the driver where a trap can run. bash 5.2 parses a trap that runs while it expands one
# with the parser of that, which fails ("unexpected EOF while looking for matching `)'"); the signal is then lost. A
# subshell has no traps. Called by `make lint`.
#
#   check-traps.sh [FILE...]   print each expansion in these files (the driver), and fail if there is one
#
# The comment "# without traps: REASON" allows an expansion on its line, or in the function that begins on its line.
set -euo pipefail
shopt -s inherit_errexit

# Prints the line of each expansion, from the syntax tree of a file.
find_expansions() { # <file>
  local marked
  marked=$(sed -n '/# without traps: /=' "$1" | jq -s .)
  shfmt --to-json <"$1" | jq --argjson marked "$marked" '
    def expansions(free):
      if type == "array" then .[] | expansions(free)
      elif type == "object" then
        (.Type == "CmdSubst" or .Type == "ProcSubst") as $expands
        | (free or (.Pos.Line? as $line | $marked | index($line)) and ($expands or .Type == "FuncDecl")) as $allowed
        | (if $expands and ($allowed | not) then .Pos.Line else empty end),
          (.[] | expansions($allowed or $expands or .Background == true or .Type == "Subshell" or .Type == "CoprocClause"))
      else empty end;
    expansions(false)'
}

main() {
  cd "$(dirname "$0")/.."
  local files=("$@") file lines line failed=0
  (($#)) || files=(scripts/snapfork scripts/libexec/snapfork/*.bash scripts/libexec/snapfork/lib/*.bash)
  for file in "${files[@]}"; do
    lines=$(find_expansions "$file")
    for line in $lines; do
      printf "%s:%d: an expansion of a command where a trap can run; use 'ask' or 'open_pipe'\n" "$file" "$line" >&2
      failed=1
    done
  done
  return "$failed"
}

main "$@"
