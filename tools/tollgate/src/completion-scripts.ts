export const SHELLS = ["bash", "zsh", "fish"] as const;

/** Absolute paths: a shell has no folder that it stays in. */
export interface CompletionPlaces {
  readonly node: string;
  /** What stands for `tollgate` where no such command is on the PATH. */
  readonly program: string;
  /** What is asked, without the time that finding the right Node takes. */
  readonly script: string;
}

/** What a shell runs once. It asks `__complete` with the words so far, the last of them perhaps begun. */
export function completionScript(shell: string, { node, program, script }: CompletionPlaces): string {
  const ask = `${quoted(node)} ${quoted(script)} __complete --`;
  const run = `${quoted(node)} ${quoted(program)}`;
  if (shell === "fish")
    return `type -q tollgate; or function tollgate; ${run} $argv; end
function __tollgate_complete
  set -l words (commandline -opc) (commandline -ct)
  ${ask} $words[2..-1] 2>/dev/null
end
complete -c tollgate -f -a '(__tollgate_complete)'`;
  const fallback = `command -v tollgate >/dev/null 2>&1 || tollgate() { ${run} "$@"; }`;
  if (shell === "zsh")
    return `${fallback}
_tollgate() {
  local -a found
  found=("\${(@f)$(${ask} "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a -- found
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _tollgate tollgate`;
  return `${fallback}
_tollgate() {
  local IFS=$'\\n'
  COMPREPLY=($(${ask} "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _tollgate tollgate`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
