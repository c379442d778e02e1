# SPDX-License-Identifier: Apache-2.0
# options.bash: parses and checks the command line by the table of verbs and options.
# shellcheck shell=bash disable=SC2034,SC2154 # shared variables: see scripts/snapfork

readonly no_limit=31536000 # of a wait, in seconds
readonly most_forks=1000   # of one `fork -n`: each new id needs a descriptor for its lock

# Sets `listed` to "a, b or c".
list_words() { # <word...>
  printf -v listed '%s, ' "${@:1:$#-1}"
  listed="${listed%, } or ${!#}"
}

take_value() { # <option> <value>
  local listed words
  case $1 in
    --timeout | --load-timeout | --graceful | --seconds)
      [[ $2 =~ ^[0-9]{1,8}(\.[0-9]{1,3})?$ ]] || usage_error "bad value '$2' for $1: seconds such as 5 or 0.5 are needed"
      ;;
    --tap) tap_options+=(--tap "$2") ;; # the programs parse it
    --firecracker-arg) firecracker_args+=("$2") ;;
    --jailer-arg) jailer_args+=("$2") ;;
    --jailer) [[ -n $2 ]] || usage_error "bad value '' for --jailer: a path is needed" ;;
    --uid | --gid)
      [[ $2 =~ ^(0|[1-9][0-9]{0,9})$ && $2 -lt 4294967295 ]] \
        || usage_error "bad value '${2//[[:cntrl:]]/?}' for $1: a number from 0 to 4294967294 is needed, not a name"
      [[ $1 != --uid || $2 != 0 ]] || usage_error "bad value '0' for --uid: root can leave a jail"
      ;;
    --trace)
      [[ $2 != - ]] || usage_error "bad value '-' for --trace: a file is needed, because the page server writes it"
      ;;
    -n)
      [[ $2 =~ ^[1-9][0-9]{0,3}$ && $2 -le $most_forks ]] \
        || usage_error "bad value '$2' for -n: a number from 1 to $most_forks is needed"
      ;;
    --disk) disk_options+=("$1" "$2") ;; # snapshot-meta divides FILE=PATH
    --shared-file) import_options+=("$1" "$2") ;;
  esac
  if [[ $values == *'|'* && ($2 == *'|'* || "|$values|" != *"|$2|"*) ]]; then
    IFS='|' read -ra words <<<"$values"
    list_words "${words[@]}"
    usage_error "bad value '$2' for $1: $listed is needed"
  fi
  printf -v "$variable" '%s' "$2"
}

# Sets the variables of the table, and `options`: those that `one_by_one` passes on for each of several ids.
parse() { # <arguments...>
  local word option before=() given=() disk waits force=0 taken
  usage_records=0
  for word; do
    [[ $word != -- ]] || break
    [[ $word != --json ]] || usage_records=1
  done
  verb='' least='' operands=() options=() forced=() command=() disk_options=() import_options=() assume_no_paths=0
  progress=() quiet=0 verbose=0 dry_run=0 json=0 ignore_int=0 lock_timeout='' stop=0 durable=0 count=0 keep_going=0
  firecracker='' firecracker_args=() jailer='' jail_uid='' jail_gid='' jailer_args=() netns='' tap_options=() clock=auto mmds='' after_load='' on_ready=''
  load_timeout=30 graceful='' detach=0 prepare=0 track_dirty_pages=0 has_command=0
  oci_layout='' layout='' tag='' share='' place=''
  state_file='' memory_file='' base_file='' name='' backend=auto reflink=auto trace=''
  type=full sync=yes socket='' share_memory=0 from_running=0 ready_cmd='' seconds=''
  while (($#)); do
    word=$1
    shift
    if [[ $word == -- ]]; then
      if [[ $verb == run ]]; then has_command=1 command=("$@"); else operands+=("$@"); fi
      break
    elif [[ $word == -?* ]]; then
      take_option "$@"
      [[ $option == --ignore-int ]] || before+=("$word" "${@:1:taken}")
      shift "$taken"
    elif [[ -n $verb ]]; then
      operands+=("$word")
    else
      verb=$word
      find_verb "$verb" || try_other_verb "$verb" "${before[@]}" "$@"
    fi
  done
  ((!force)) || forced=(--force)
  check_options
}

# An unknown verb may be a program of its own.
try_other_verb() { # <name> <argument...>
  read_file "$libexec/lib/other_verb.bash"
  become_other_verb "$@"
}

# Takes the option `word`. Sets `taken`: how many of the words after it are its value.
take_option() { # <the words after it...>
  local value variable values=''
  taken=0 option=$word
  case $word in
    -v) option=--verbose ;;
    -q) option=--quiet ;;
    -n?*) option=-n value=${word#-n} ;;
    -h | --help | -V | --version | --list-options)
      read_file "$libexec/lib/usage.bash"
      print_usage "$word"
      ;;
    --*=*) if find_option "${word%%=*}" && [[ -n $values ]]; then option=${word%%=*} value=${word#*=}; fi ;;
  esac
  find_option "$option" || usage_error "unknown option '$word'"
  if [[ -n $values && ! -v value ]]; then
    (($#)) || usage_error "the option $option needs a value"
    value=$1 taken=1
  fi
  given+=("$option")
  if [[ -n $values ]]; then
    take_value "$option" "$value"
    [[ $option == -n ]] || options+=("$option" "$value")
  else
    printf -v "$variable" 1
    [[ $option != --wait ]] || lock_timeout=$no_limit
    options+=("$option")
  fi
}

check_options() {
  local option listed words
  [[ -n $verb ]] || usage_error 'a verb is needed'
  if [[ -z $least ]]; then
    mapfile -t words <<<"${verb_table:1:-1}"
    list_words "${words[@]%% *}"
    usage_error "unknown verb '$verb': $listed is needed"
  fi
  for option in "${given[@]}"; do
    [[ " $allowed $common_options --ignore-int " == *" $option "* ]] || usage_error "the option $option is not for $verb"
  done
  ((has_command)) || return 0
  usage_records=0
  ((!json)) || usage_error 'the option --json is not for run with CMD: its output is that of CMD'
  for option in "${given[@]}"; do
    [[ " $allowed " != *" $option "* || $option == @(--backend|--tap|--clock|--track-dirty-pages|--force|--timeout|--wait) ]] \
      || usage_error "the option $option is not for run with CMD, which starts the virtual machine itself"
  done
}

check_operands() {
  local id
  take_place
  ((${#operands[@]} >= least)) || usage_error "$verb: an id is needed"
  if ((${#operands[@]} > most)); then
    [[ $verb != run ]] || usage_error "run: unexpected operand '${operands[most]}'; put '--' before the command"
    usage_error "$verb: unexpected operand '${operands[most]}'"
  fi
  for id in "${operands[@]}"; do check_id "$id"; done
}

# Sets `place` to the operand of export, push and pull after the id.
take_place() {
  local name
  case $verb in
    export) name=DIR ;;
    push | pull) name=REF ;;
    *) return 0 ;;
  esac
  place=${operands[1]-}
  [[ -n $place ]] || usage_error "$verb: an id and $name are needed"
  operands=("${operands[0]}" "${operands[@]:2}")
}

check_id() { # <id>
  # bash compares ranges of a pattern as the C locale does; `local LC_ALL=C` would take 0.1 ms.
  [[ $1 == [A-Za-z0-9]*([A-Za-z0-9._-]) && ${#1} -le 64 ]] || usage_error \
    "bad id '${1//[[:cntrl:]]/?}': 1 to 64 of A-Z a-z 0-9 . _ - are needed, the first a letter or a digit"
}
