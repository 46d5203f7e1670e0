export interface CompletionWord {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly string[];
}

type Script = (commands: readonly CompletionWord[]) => string;

/** Commands and their flags, as a script for each shell. */
export const completionScripts: Readonly<Record<string, Script>> = { bash, zsh, fish };

function bash(commands: readonly CompletionWord[]): string {
  const cases = commands.map(({ name, flags }) => `    ${name}) words="${[...flags, "--help"].join(" ")}" ;;`);
  return `_k8s() {
  local words
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
    *) words="${commands.map(({ name }) => name).join(" ")}" ;;
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="${commands.map(({ name }) => name).join(" ")}"
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _k8s k8s
`;
}

/** zsh reads bash's functions. */
function zsh(commands: readonly CompletionWord[]): string {
  return `#compdef k8s\nautoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`;
}

function fish(commands: readonly CompletionWord[]): string {
  const lines = commands.flatMap(({ name, description, flags }) => [
    `complete -c k8s -n __fish_use_subcommand -f -a ${name} -d '${description.replaceAll("'", "\\'")}'`,
    ...flags.map((flag) => `complete -c k8s -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)}`),
  ]);
  return `${lines.join("\n")}\n`;
}
