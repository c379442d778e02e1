# SPDX-License-Identifier: Apache-2.0
# fish completion for all programs of the suite. fish loads the file that has the name of the command: `make install`
# gives this one the names of the others. Options, verbs and descriptions are read from what the programs print.

# Prints a line "WORD<tab>DESCRIPTION" for each option in the --help of a program.
function __snapfork_options -a program
    $program --help 2>/dev/null | string replace -rf '^ *(?:-\w, )?(--[\w-]+)(?: [A-Z=|\w]+)?  +(.*)$' '$1\t$2'
end

# The same for each verb: what stands below the line "Verbs", two columns from the left.
function __snapfork_program_verbs -a program
    $program --help 2>/dev/null | sed -nE '/^Verbs/,/^$/s/^  ([a-z-]+).*  +(.*)$/\1\t\2/p'
end

# The lines of "snapfork --list-options": "verb NAME OPERAND OPTION...", "value OPTION KIND", "common OPTION...".
function __snapfork_listed -a kind name
    snapfork --list-options 2>/dev/null | string replace -rf "^$kind $name ?(.*)\$" '$1' | string split -n ' '
end

function __snapfork_verb
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; or begin
            echo $word
            return
        end
    end
    return 1
end

function __snapfork_verbs
    snapfork --list-options 2>/dev/null | string replace -rf '^verb (\S+).*' '$1'
end

function __snapfork_verb_options
    set -l verb (__snapfork_verb); and __snapfork_listed verb $verb | string match -- '--*'
    __snapfork_listed common ''
end

function __snapfork_guests
    set -l root $SNAPFORK_ROOT /var/lib/snapfork
    set -l guests $root[1]/guests/*/
    string replace -rf '.*/([^/]+)/$' '$1' $guests
end

function __snapfork_wants_guest
    set -l verb (__snapfork_verb); and test guest = (__snapfork_listed verb $verb)[1]
end

complete -c snapfork -f
complete -c snapfork -n 'not __snapfork_verb' -a '(__snapfork_verbs)'
complete -c snapfork -n __snapfork_wants_guest -a '(__snapfork_guests)'
complete -c snapfork -n 'string match -q -- "-*" (commandline -ct)' -a '(__snapfork_verb_options)'
# After an option that names a file.
complete -c snapfork -n '__snapfork_listed value (commandline -opc)[-1] | string match -qr "^(FILE|PATH|SOCK)"' -F

set -l program (string replace -r '\.fish$' '' (status basename))
if test $program != snapfork
    complete -c $program -n 'string match -q -- "-*" (commandline -ct)' -a "(__snapfork_options $program)"
    complete -c $program -n 'not __snapfork_verb' -a "(__snapfork_program_verbs $program)"
end
