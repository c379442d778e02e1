# SPDX-License-Identifier: Apache-2.0
# What the tests of all programs share. Each file: `load helpers`, then
#   setup() { common_setup; }    teardown() { common_teardown; }
# shellcheck shell=bash disable=SC2154 # output, stderr, lines and status are set by run
bats_require_minimum_version 1.5.0

# shellcheck source=tests/wait_until.bash
source "${BASH_SOURCE[0]%/*}/../wait_until.bash"

# ---- each test: an empty store and nothing else of the caller's settings

common_setup() {
  export SNAPFORK_ROOT=$BATS_TEST_TMPDIR/root
  unset SNAPFORK_LOCK_FD SNAPFORK_PAGER SNAPFORK_DEBUG
  export LC_ALL=C
  export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=0} # leak detection does not work under strace
  mkdir -p "$SNAPFORK_ROOT"
  mkdir -m 700 "$SNAPFORK_ROOT/guests"
  cd "$BATS_TEST_TMPDIR" || return 1
  spawned=()
}

common_teardown() {
  local pid
  for pid in "${spawned[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}

# ---- what a test needs, else it is skipped with the reason

require_root() {
  ((EUID == 0)) || skip "needs root"
}

require_userfaultfd() {
  ((EUID == 0)) || [[ -r /dev/userfaultfd || $(</proc/sys/vm/unprivileged_userfaultfd) == 1 ]] \
    || skip "needs userfaultfd for kernel faults (root)"
}

require_cmd() { # <command>...
  local name
  for name in "$@"; do
    command -v "$name" >/dev/null || skip "needs $name"
  done
}

# Mount namespaces fail, for example, in a plain chroot, whose root is not a mount point.
require_namespaces() { # <option of unshare>...
  local reason
  reason=$(unshare "$@" true 2>&1) || skip "needs 'unshare $*': ${reason#unshare: }"
}

# ---- assertions, also on what `run` returned

fail() { # <message>...
  printf '%s\n' "$@" >&2
  if [[ -v output ]]; then printf 'status %s, output:\n%s\n' "${status-}" "$output" >&2; fi
  return 1
}

assert_contains() { # <text> <part>
  [[ $1 == *"$2"* ]] || fail "'$2' is not in:" "$1"
}

refute_contains() { # <text> <part>
  [[ $1 != *"$2"* ]] || fail "'$2' is in:" "$1"
}

assert_equal() { # <actual> <expected>
  [[ $1 == "$2" ]] || fail "expected: '$2'" "     got: '$1'"
}

json() { # <jq filter>: of $output, which must be JSON
  jq -er "$1" <<<"$output"
}

# A copy of the driver with its parts, for a test that changes it or the programs beside it.
copy_driver() { # <directory>
  local driver
  driver=$(type -P snapfork)
  mkdir -p "$1"
  cp "$driver" "$1/snapfork"
  cp -R "${driver%/*}/libexec" "$1/"
}

# ---- processes

# Starts a command in the background, with its output in FILE; its pid is in spawned_pid. It is killed at the end of the
# test. It gets no descriptors 3 and 4: bats waits for every process that has them open.
spawn_to() { # <file> <command> [argument]...
  local file=$1
  shift
  # Emptied here, not in the background: a caller that waits for a word in FILE must not find that of an earlier process.
  [[ ! -f $file ]] || : >"$file"
  "$@" >"$file" 2>&1 </dev/null 3>&- 4>&- &
  spawned_pid=$!
  spawned+=("$spawned_pid")
}

spawn() { # <command> [argument]...
  spawn_to /dev/null "$@"
}

# A killed process is a zombie as soon as its first thread has ended; the last one releases its locks.
is_gone() { # <pid>: ended, with all of its threads
  local key value state='' threads=''
  while read -r key value _; do
    case $key in
      State:) state=$value ;;
      Threads:) threads=$value ;;
    esac
  done 2>/dev/null <"/proc/$1/status" || return 0
  [[ -z $state || $state == X || ($state == Z && $threads -le 1) ]]
}

# After fork(2) a process still has the name and the arguments of its parent.
runs_as() { # <pid> <name>
  [[ $(cat "/proc/$1/comm" 2>/dev/null) == "$2" ]]
}

# Waits until a process holds a lock of the id.
wait_until_held() { # <id>
  wait_until 10 is_held "$1"
}

is_held() { # <id>
  [[ -n $(template-lock holders "$1") ]]
}

# Runs the command and kills it just before its Nth call of SYSCALL, counted over all of its threads and children. A test
# does this for every point where a crash could leave something. The status is 137 if it was killed.
kill_at() { # <syscall> <n> <command> [argument]...
  local call=$1 n=$2
  shift 2
  strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=SIGKILL:when=$n" -- "$@"
}

# ---- guests

# A guest with metadata.json and a snapshot of 64 KiB, which is enough for every command that does not read the vmstate.
make_fake_guest() { # <id> [KEY=JSON]...
  local id=$1 dir=$SNAPFORK_ROOT/guests/$1 pair
  shift
  mkdir -p "$dir/snapshots/snapshot-latest"
  {
    printf '{"Id":"%s","Name":"%s"' "$id" "$id"
    for pair in "$@"; do printf ',"%s":%s' "${pair%%=*}" "${pair#*=}"; done
    printf '}\n'
  } >"$dir/metadata.json"
  printf 'not a vmstate\n' >"$dir/snapshots/snapshot-latest/state"
  head -c 65536 /dev/zero | tr '\0' m >"$dir/snapshots/snapshot-latest/memory"
  chmod 600 "$dir/snapshots/snapshot-latest/"*
  printf 'disk of %s\n' "$id" >"$dir/overlay.raw"
}

make_fake_template() { # <id>
  make_fake_guest "$1" IsTemplate=true
  mkdir -p "$SNAPFORK_ROOT/guests/$1/template/forks"
}

# A fork as the programs leave it: index entry and metadata.
make_fake_fork() { # <template> <id>
  make_fake_guest "$2" "ForkOfTemplate=\"$1\""
  : >"$SNAPFORK_ROOT/guests/$1/template/forks/$2"
}

# ---- the cases that every program passes: common options of the program and of each verb

standard_cases() { # <program> [verb]...
  local program=$1 verb
  shift
  check_version "$program"
  check_unknown_option "$program"
  check_abbreviation "$program"
  check_closed_streams "$program" --version
  check_help "$program"
  for verb in "$@"; do
    check_help "$program" "$verb"
    check_unknown_option "$program" "$verb"
  done
}

check_help() { # <program> [verb]
  local line widest=0 count=0 option page=$BATS_TEST_DIRNAME/../../man/$1.1.scd
  run --separate-stderr -0 "$@" --help
  assert_equal "$stderr" ""
  [[ $output == "Usage: $*"* ]] || fail "$* --help does not start with 'Usage: $*'"
  while IFS= read -r line; do
    ((count += 1))
    ((${#line} <= widest)) || widest=${#line}
  done <<<"$output"
  ((widest <= 80)) || fail "$* --help is $widest columns wide"
  ((count <= 45)) || fail "$* --help is $count lines long"
  [[ -e $page ]] || fail "no such man page: $page"
  while IFS= read -r option; do
    grep -Eq -- "$option([^a-z-]|\$)" "$page" || fail "$option of $* is not in $page"
  done < <(grep -Eo -- '--[a-z][a-z-]+' <<<"$output" | sort -u)
  # A full disk behind "> file" is an error, not silence.
  run -5 --separate-stderr bash -c 'exec "$@" --help >/dev/full' _ "$@"
  assert_contains "$stderr" "$1: cannot write 'standard output'"
}

check_version() { # <program>
  run --separate-stderr -0 "$1" --version
  assert_equal "$stderr" ""
  [[ ${lines[0]} =~ ^$1\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "--version prints: $output"
}

check_unknown_option() { # <program> [verb]
  run --separate-stderr -2 "$@" --no-such-option
  assert_equal "$output" ""
  assert_contains "$stderr" "$1: "
  assert_contains "$stderr" "no-such-option"
}

check_abbreviation() { # <program>
  run --separate-stderr -2 "$1" --versio
  assert_equal "$output" ""
  assert_contains "$stderr" "$1: unknown option '--versio'"
}

# If standard descriptors are closed, the exit status is the same, and no file that the program opens gets their
# numbers: the caller checks its files afterwards.
check_closed_streams() { # <command> [argument]...
  local expected=0 got
  "$@" >/dev/null 2>&1 </dev/null 3>&- 4>&- || expected=$?
  for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- >&- 2>&-'; do
    got=0
    bash -c "exec \"\$@\" $closed" _ "$@" >/dev/null 2>&1 3>&- 4>&- || got=$?
    ((got == expected)) || fail "$* $closed: status $got, not $expected"
  done
}
