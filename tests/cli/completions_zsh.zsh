# SPDX-License-Identifier: Apache-2.0
# Prints what zsh offers after LINE and the Tab key: zsh -f completions_zsh.zsh DIRECTORY LINE. It runs a shell in a pseudo
# terminal, because zsh completes nowhere else.
zmodload zsh/zpty
typeset -g TERM=dumb
zpty shell zsh -f
# READY is printed when the line editor waits for the line: what is typed before it would be lost.
zpty -w shell "PS1= RPROMPT=; stty -echo; fpath=(${(q)1} \$fpath); autoload -U compinit; compinit -u -D; zstyle ':completion:*' list-colors ''"
zpty -w shell "bindkey '^I' list-choices; LISTMAX=0; zle-line-init() { print READY\$((1)); }; zle -N zle-line-init"
local chunk out=
while [[ $out != *READY1* ]]; do
  zpty -r shell chunk || exit 1
  out+=$chunk
done
zpty -w -n shell "$2"$'\t'$'\C-u'"print DO"'NE$((1))'$'\n'
out=
while [[ $out != *DONE1* ]]; do
  zpty -r shell chunk || exit 1
  out+=$chunk
done
print -r -- "$out"
zpty -d shell
