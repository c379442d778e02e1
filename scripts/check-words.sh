#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Finds the words of scripts/words-to-avoid.txt in what people read: comments and string literals of C++, C and assembler,
# names of GoogleTest tests, every line of shell scripts, bats tests, pages and documents. Called by `make lint`.
#
#   check-words.sh [FOLDER|FILE...]   print each finding below these, and fail if there is one
#   check-words.sh                    print the findings of clean folders, and fail if there is one; print a count for each
#                                     folder of `not_clean`
set -euo pipefail
shopt -s inherit_errexit

# Folders and files whose sentences are not rewritten yet. Their findings are counted and are not errors. Remove an entry
# when its count is 0; when the list is empty, remove the list.
not_clean=(
  scripts/snapfork
  tests/cli
  tests/unit
  man/snapfork.1.scd
  docs/traps.md
)

readonly LIST=scripts/words-to-avoid.txt

# Prints FILE:LINE:TEXT for each comment and string literal, or line, of the files.
text_of() { # <file>...
  local file code=() other=()
  for file in "$@"; do
    case $file in
      "$LIST" | tests/fixtures/* | tests/fuzz/seeds/* | tests/fuzz/found/* | LICENSE) ;;
      *.cc | *.h | *.c | *.S) code+=("$file") ;;
      *) other+=("$file") ;;
    esac
  done
  # A block comment of C: a line that begins with a star.
  ((${#code[@]} == 0)) || grep -HnoP '//.*|/\*.*|^ \* .*|"(?:[^"\\]|\\.)*"' "${code[@]}" || true
  # The name of a test, split into words; a long one is on a line of its own.
  ((${#code[@]} == 0)) \
    || grep -HnoP '^TEST\w*\(\w+, *\K\w+|^ +[A-Z]\w+(?=\) \{$)' "${code[@]}" | sed -E 's/([a-z0-9])([A-Z])/\1 \2/g' || true
  ((${#other[@]} == 0)) || grep -HnI '' "${other[@]}" || true
}

# Reads FILE:LINE:TEXT and prints FILE:LINE: 'WORDS': write: ADVICE for each finding. The advice is that of the first pattern
# that matches.
find_words() {
  # shellcheck disable=SC2016 # a program of Perl
  perl -e '
    open(my $list, "<", $ARGV[0]) or die "check-words.sh: cannot read $ARGV[0]: $!\n";
    my @words;
    while (<$list>) {
      next if /^#/;
      chomp;
      my ($pattern, $advice) = split /\t/;
      push @words, [qr/$pattern/i, $advice];
    }
    while (<STDIN>) {
      my ($place, $text) = /^([^:]+:\d+):(.*)/ or next;
      $text =~ s{^\s*(//|#|/?\*)\s*}{};
      for my $word (@words) {
        next unless $text =~ $word->[0];
        my $found = $&;
        $found =~ s/^\W+//;
        print "$place: \x27$found\x27: write: $word->[1]\n";
        last;
      }
    }' "$LIST"
}

main() {
  cd "$(dirname "$0")/.."
  local files=() folder found counted=() count failed=0
  if (($#)); then
    mapfile -t files < <(git ls-files --cached --others --exclude-standard -- "$@")
  else
    mapfile -t files < <(git ls-files --cached --others --exclude-standard)
  fi
  mapfile -t files < <(for folder in "${files[@]}"; do [[ ! -f $folder || -L $folder ]] || printf '%s\n' "$folder"; done)
  found=$(text_of "${files[@]}" | find_words)
  if ((!$#)); then
    for folder in "${not_clean[@]}"; do
      count=$(grep -c "^${folder}[/:]" <<<"$found" || true)
      counted+=("$(printf '%5d  %s' "$count" "$folder")")
      found=$(grep -v "^${folder}[/:]" <<<"$found" || true)
    done
    printf '%s\n' "${counted[@]}"
  fi
  if [[ -n $found ]]; then
    printf '%s\n' "$found" >&2
    failed=1
  fi
  return "$failed"
}

main "$@"
