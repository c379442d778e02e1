# SPDX-License-Identifier: Apache-2.0
# table.bash: the verbs and options of snapfork. Parsing, checks, --help and completions/snapfork read this table; a test
# compares it with snapfork(1). A new verb needs a row here, its entries in usage.bash, and a file VERB.bash.
# The tables are strings, because bash needs 0.3 ms to build them as arrays, and a fork looks up one or two rows.
# shellcheck shell=bash disable=SC2034 # the readers are options.bash and usage.bash

readonly common_options='--verbose --quiet --json --dry-run --help --version'

# Each row: the verb, the least and the greatest number of ids, their kind (a new id, an existing guest, or none), and the
# options of the verb. take_place takes an operand that is not an id.
readonly verb_table='
import 1 1 new --state --memory --disk --shared-file --assume-no-paths --firecracker --base --oci --tag --share --name --timeout --wait
promote 1 1 guest --force --timeout --wait
demote 1 1 guest --timeout --wait
fork 1 2 guest --backend -n --keep-going --name --reflink --durable --trace --tap --share-memory --from-running --firecracker --firecracker-arg --netns --force --timeout --wait
run 1 1 guest --backend --detach --prepare --socket --firecracker --firecracker-arg --jailer --uid --gid --jailer-arg --netns --tap --clock --mmds --after-load --on-ready --load-timeout --track-dirty-pages --force --timeout --wait
restore 1 1 guest --backend --firecracker --firecracker-arg --jailer --uid --gid --jailer-arg --netns --tap --clock --mmds --after-load --on-ready --load-timeout --track-dirty-pages --force --timeout --wait
standby 1 1 guest --type --sync --socket --timeout --wait
stop 1 100000 guest --graceful --timeout
delete 1 100000 guest --stop --timeout --wait
export 1 1 guest --tag
push 1 1 guest --layout
pull 1 1 new --share --shared-file --assume-no-paths --name --timeout --wait
record 1 1 guest --ready-cmd --seconds --firecracker --firecracker-arg --netns --tap --force --timeout --wait
list 0 0 none
status 0 0 none
'

# Each row: the option; the variable that it sets, to its value or to 1; and, if it has a value, the name of the value or
# the possible words. The driver calls itself with --ignore-int: SIGINT was ignored when the driver started.
readonly option_table='
--state state_file FILE
--memory memory_file FILE
--disk disk FILE[=PATH]
--shared-file shared_file PATH
--assume-no-paths assume_no_paths
--base base_file FILE
--oci oci_layout DIR
--layout layout DIR
--tag tag TAG
--share share WHICH
--trace trace FILE
--name name NAME
-n count COUNT
--ready-cmd ready_cmd CMD
--seconds seconds SECONDS
--timeout lock_timeout SECONDS
--wait waits
--backend backend auto|uffd|file
--reflink reflink auto|always|never
--share-memory share_memory
--from-running from_running
--type type full|diff
--sync sync yes|no
--firecracker firecracker PATH
--firecracker-arg firecracker_arg ARG
--jailer jailer PATH
--uid jail_uid N
--gid jail_gid N
--jailer-arg jailer_arg ARG
--socket socket SOCK
--netns netns NAME
--tap tap IFACE=TAP
--clock clock auto|keep
--mmds mmds FILE
--after-load after_load CMD
--on-ready on_ready CMD
--load-timeout load_timeout SECONDS
--graceful graceful SECONDS
--detach detach
--prepare prepare
--track-dirty-pages track_dirty_pages
--force force
--stop stop
--durable durable
--keep-going keep_going
--verbose verbose
--quiet quiet
--json json
--dry-run dry_run
--ignore-int ignore_int
'

# Sets `least`, `most`, `kind` and `allowed` (its options). Returns 1 if the verb is not in the table.
find_verb() { # <word>
  [[ $1 == +([a-z]) && $verb_table =~ $'\n'"$1 "([0-9]+)\ ([0-9]+)\ ([a-z]+)\ ?([^$'\n']*) ]] || return 1
  least=${BASH_REMATCH[1]} most=${BASH_REMATCH[2]} kind=${BASH_REMATCH[3]} allowed=${BASH_REMATCH[4]}
}

# Sets `variable` and `values`; `values` is empty if the option has no value. Returns 1 if the option is not in the table.
find_option() { # <word>
  [[ $1 == -+([a-z-]) && $option_table =~ $'\n'"$1 "([a-z_]+)\ ?([^$'\n']*) ]] || return 1
  variable=${BASH_REMATCH[1]} values=${BASH_REMATCH[2]}
}
