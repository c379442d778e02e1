# SPDX-License-Identifier: Apache-2.0
# options.bash: the command line: usage, parsing, and what is checked before anything is done.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly no_limit=31536000 # of a wait, in seconds
readonly most_forks=1000   # of one `fork -n`: each new id needs a descriptor for its lock

usage() {
  cat <<'USAGE'
Usage: snapfork [options] VERB [operands]
Fork Firecracker snapshots: disks by reflink, memory page by page on demand.

  import ID --state FILE --memory FILE [--disk FILE[=PATH]]... [--name NAME]
                       clone a snapshot into the store; PATH: the vmstate's name
    --base FILE          the memory is a Diff, to be merged over this file
  promote ID           make it a template: verified, sealed, not written again
    --force              promote, fork, run: also when it is Stale
  demote ID            make a template an ordinary snapshot again
  fork ID [NEW]        a copy, ready to run; prints a JSON record for each
    --backend uffd|file  where its memory comes from (default uffd)
    -n COUNT             this many, with generated ids
    --name NAME          its name; its id when not given
    --reflink=always     fail rather than copy disks and memory
    --durable            flush it to the disk: it survives a power cut
    --trace FILE         record the pages that the guest reads
  run FORK -- CMD...   CMD with the fork's files at the paths of the vmstate
    --backend uffd|file  default: uffd the first time, the file later
  delete ID...         refused for a template with live forks
    --stop               end its virtual machine first
  list                 all guests
  status               the page server, its sessions, guests that hang

Common options: -v show each call; --dry-run only show them;
  -q no informational messages;
  --json records, of failures too; -h --help; -V --version
  --timeout SECONDS or --wait: for locks that others hold
Environment: SNAPFORK_ROOT (/var/lib/snapfork), SNAPFORK_PAGER (its socket)
Exit status: 0 done, 1 refused, 2 usage, 3 unsupported, 4 bad data, 5 system;
  run: that of CMD, or 125, 126, 127.   Manual: snapfork(1), snapfork(7)
USAGE
}

take_value() { # <option> <value>
  case $1 in
    --timeout)
      [[ $2 =~ ^[0-9]{1,8}(\.[0-9]{1,3})?$ ]] || usage_error "bad value '$2' for --timeout: seconds such as 5 or 0.5 are needed"
      lock_patience=$2
      ;;
    --state) state_file=$2 ;;
    --memory) memory_file=$2 ;;
    --base) base_file=$2 ;;
    --name) name=$2 ;;
    --disk)
      # PATH is an absolute one: cut at the first "=/", but for a file that is called so.
      if [[ $2 == *=/* && ! -e $2 ]]; then
        disk_files+=("${2%%=/*}") disk_paths+=("/${2#*=/}")
      else
        disk_files+=("$2") disk_paths+=("$(realpath --no-symlinks -- "$2")")
      fi
      ;;
    --backend)
      [[ $2 == @(uffd|file) ]] || usage_error "bad value '$2' for --backend: uffd or file is needed"
      backend=$2
      ;;
    --reflink)
      [[ $2 == @(auto|always|never) ]] \
        || usage_error "bad value '$2' for --reflink: auto, always or never is needed"
      reflink=$2
      ;;
    --trace)
      [[ $2 != - ]] || usage_error "bad value '-' for --trace: a file is needed, because the page server writes it"
      trace=$2
      ;;
    -n)
      [[ $2 =~ ^[1-9][0-9]{0,3}$ && $2 -le $most_forks ]] \
        || usage_error "bad value '$2' for -n: a number from 1 to $most_forks is needed"
      count=$2
      ;;
  esac
}

# Sets the globals that the verbs read; `options` are those that the flow is told again under its locks.
parse() { # <arguments...>
  local word given=()
  usage_records=0
  for word; do
    [[ $word != -- ]] || break
    [[ $word != --json ]] || usage_records=1
  done
  verb='' operands=() options=() forced=() command=() disk_files=() disk_paths=()
  quiet=0 verbose=0 dry_run=0 json=0 locked=0 outer_locks='' ignore_int=0 as_records=0 lock_patience='' stop=0 durable=0 count=0
  state_file='' memory_file='' base_file='' name='' backend='' reflink=auto trace=''
  while (($#)); do
    word=$1
    shift
    case $word in
      -h | --help)
        usage 2>/dev/null || fail 5 "cannot write 'standard output'"
        exit 0
        ;;
      -V | --version)
        printf 'snapfork %s\n' "$version" 2>/dev/null || fail 5 "cannot write 'standard output'"
        exit 0
        ;;
      -v | --verbose) verbose=1 options+=("$word") ;;
      -q | --quiet) quiet=1 options+=("$word") ;;
      --json) json=1 ;;
      --dry-run) dry_run=1 options+=("$word") ;;
      --locked) locked=1 ;;
      --outer-locks=*) outer_locks=${word#*=} ;;
      --wait) lock_patience=$no_limit given+=("$word") options+=("$word") ;;
      --records) as_records=1 options+=("$word") ;;    # as --json does, see with_error_record
      --ignore-int) ignore_int=1 options+=("$word") ;; # SIGINT was ignored when the driver started
      --force) forced=("$word") given+=("$word") options+=("$word") ;;
      --stop) stop=1 given+=("$word") options+=("$word") ;;
      --durable) durable=1 given+=("$word") options+=("$word") ;;
      --timeout=* | --state=* | --memory=* | --base=* | --disk=* | --name=* | --backend=* | --reflink=* | --trace=*)
        set -- "${word%%=*}" "${word#*=}" "$@"
        ;;
      -n?*) set -- -n "${word#-n}" "$@" ;;
      -n | --timeout | --state | --memory | --base | --disk | --name | --backend | --reflink | --trace)
        (($#)) || usage_error "the option $word needs a value"
        given+=("$word")
        take_value "$word" "$1"
        [[ $word == -n ]] || options+=("$word" "$1")
        shift
        ;;
      --)
        if [[ $verb == run ]]; then command=("$@"); else operands+=("$@"); fi
        break
        ;;
      -?*) usage_error "unknown option '$word'" ;;
      *) if [[ -z $verb ]]; then verb=$word; else operands+=("$word"); fi ;;
    esac
  done
  check_options "${given[@]}"
  [[ $verb != fork || -n $backend ]] || backend=uffd
}

check_options() { # <given options...>
  local option allowed
  case $verb in
    import) allowed='--timeout --wait --state --memory --base --disk --name' ;;
    fork) allowed='--timeout --wait --force -n --backend --reflink --durable --trace --name' ;;
    run) allowed='--timeout --wait --backend --force' ;;
    delete) allowed='--timeout --wait --stop' ;;
    promote) allowed='--force --timeout --wait' ;;
    demote) allowed='--timeout --wait' ;;
    list | status) allowed='' ;;
    '') usage_error 'a verb is needed' ;;
    *) usage_error "unknown verb '$verb': import, promote, demote, fork, run, delete, list or status is needed" ;;
  esac
  for option; do
    [[ " $allowed " == *" $option "* ]] || usage_error "the option $option is not for $verb"
  done
  [[ $verb != run ]] || usage_records=0
  ((!json)) || [[ $verb != run ]] || usage_error 'the option --json is not for run: its output is that of CMD'
}

check_operands() { # <least> <most> <what they are>
  ((${#operands[@]} >= $1)) || usage_error "$verb: $3 needed"
  ((${#operands[@]} <= $2)) \
    || usage_error "$verb: unexpected operand '${operands[$2]}'$([[ $verb != run ]] || echo "; put '--' before the command")"
  local id
  for id in "${operands[@]}"; do check_id "$id"; done
}

check_id() { # <id>
  local LC_ALL=C
  [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$ ]] || usage_error \
    "bad id '${1//[[:cntrl:]]/?}': 1 to 64 of A-Z a-z 0-9 . _ - are needed, the first a letter or a digit"
}
