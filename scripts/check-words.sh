#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Finds the words of scripts/words-to-avoid.txt in what people read: comments and string literals of C++, C and assembler,
# names of GoogleTest tests, every line of shell scripts, bats tests, pages and documents. Called by `make lint`.
#
#   check-words.sh [FOLDER|FILE...]   print each finding below these (all files), and fail if there is one
set -euo pipefail
shopt -s inherit_errexit

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
  local files=() file found
  mapfile -t files < <(
    git ls-files --cached --others --exclude-standard -- "$@" \
      | while IFS= read -r file; do [[ ! -f $file || -L $file ]] || printf '%s\n' "$file"; done
  )
  found=$(text_of "${files[@]}" | find_words)
  [[ -n $found ]] || return 0
  printf '%s\n' "$found" >&2
  return 1
}

main "$@"
