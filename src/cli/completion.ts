import type { Argument, Command, Option } from "commander";

/*
 * Scripts that complete commands and flags in a shell. They contain everything that they offer, so
 * that the Tab key starts no process: a library that asks the program at each key would start Node
 * each time. They are made from the same table of commands as the help.
 */

export type Shell = "bash" | "zsh" | "fish";

interface CompletedFlag {
  readonly long: string;
  readonly short: string | null;
  readonly description: string;
  /** The placeholder of its value; `null` for a flag without one. */
  readonly value: string | null;
  /** The words that its value can be; empty if it can be others. */
  readonly words: readonly string[];
}

interface CompletedCommand {
  /** The name, and other names of it. */
  readonly names: readonly string[];
  readonly description: string;
  readonly flags: readonly CompletedFlag[];
  /** The words that its first argument can be. */
  readonly words: readonly string[];
  readonly takesFiles: boolean;
}

/** Placeholders of values that are paths. */
const PATH_VALUE = /^(?:file|folder|place)$/;

/** The completion script of a program for a shell. */
export function completionScript(shell: Shell, program: Command): string {
  const commands = program.commands.map((command) => completed(command));
  const names = commands.flatMap((command) => command.names);
  const help: CompletedCommand = {
    names: ["help"],
    description: "show the help of a command",
    flags: [],
    words: names,
    takesFiles: false,
  };
  const all = [...commands, help];
  const own = program.createHelp().visibleOptions(program).map(completedFlag);
  return SCRIPTS[shell](all, own);
}

const SCRIPTS: Readonly<
  Record<Shell, (commands: readonly CompletedCommand[], own: readonly CompletedFlag[]) => string>
> = { bash: bashScript, zsh: zshScript, fish: fishScript };

function completed(command: Command): CompletedCommand {
  const [argument] = command.registeredArguments;
  return {
    names: [command.name(), ...command.aliases()],
    description: command.description(),
    flags: command.createHelp().visibleOptions(command).map(completedFlag),
    words: wordsOf(argument),
    takesFiles: argument?.name() === "file",
  };
}

function completedFlag({ long, short, description, flags }: Option): CompletedFlag {
  const value = /<(.+)>/.exec(flags)?.[1] ?? null;
  return {
    long: long ?? "",
    short: short ?? null,
    // Only what is before the name of the variable fits into one line.
    description: description.replace(/ \([A-Z_]+.*\)$/, ""),
    value,
    words: value?.includes("|") === true ? value.split("|") : [],
  };
}

function wordsOf(argument: Argument | undefined): readonly string[] {
  return argument?.argChoices ?? [];
}

function bashScript(commands: readonly CompletedCommand[], own: readonly CompletedFlag[]): string {
  const values = commands.flatMap(({ names, flags }) =>
    flags.filter(({ value }) => value !== null).map((flag) => bashValue(names, flag)),
  );
  const cases = commands.map(({ names, flags, words }) => {
    const lists = [flagNames(flags), words].map((list) => quoted(list.join(" ")));
    return `    ${names.join("|")}) list=${lists[0]}; [[ $current == -* ]] || list=${lists[1]} ;;`;
  });
  const first = [...commands.flatMap(({ names }) => names), ...flagNames(own)];
  return `# bash completion of fixity: source <(fixity completion bash)
_fixity() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="" list="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} != -* ]]; then command="\${COMP_WORDS[i]}"; break; fi
  done
  COMPREPLY=()
  case "$command:$previous" in
${values.join("\n")}
  esac
  case "$command" in
    "") list=${quoted(first.join(" "))} ;;
${cases.join("\n")}
  esac
  # Without matches, bash completes names of files.
  COMPREPLY=($(compgen -W "$list" -- "$current"))
}
complete -o default -F _fixity fixity
`;
}

/** What follows a flag with a value: its words, or names of files. */
function bashValue(names: readonly string[], { long, short, words }: CompletedFlag): string {
  const flags = short === null ? [long] : [long, short];
  const pattern = names.flatMap((name) => flags.map((flag) => `${name}:${flag}`)).join("|");
  const reply = words.length === 0 ? "" : ` COMPREPLY=($(compgen -W ${quoted(words.join(" "))} -- "$current"));`;
  return `    ${pattern})${reply} return ;;`;
}

function zshScript(commands: readonly CompletedCommand[], own: readonly CompletedFlag[]): string {
  const list = commands.flatMap(({ names, description }) =>
    names.map((name) => `    ${quoted(`${name}:${description}`)}`),
  );
  const cases = commands.map(({ names, flags, words, takesFiles }) => {
    const rest = takesFiles ? ["'*:file:_files'"] : words.length > 0 ? [quoted(`1:word:(${words.join(" ")})`)] : [];
    const specs = [...flags.flatMap(zshFlag), ...rest];
    return `    ${names.join("|")}) _arguments ${specs.join(" \\\n      ")} ;;`;
  });
  return `#compdef fixity
# zsh completion of fixity: source <(fixity completion zsh), or a file _fixity in a folder of $fpath
_fixity() {
  local -a commands
  commands=(
${list.join("\n")}
  )
  if (( CURRENT == 2 )); then
    if [[ $words[2] == -* ]]; then
      _arguments ${own.flatMap(zshFlag).join(" ")}
    else
      _describe command commands
    fi
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join("\n")}
  esac
}
if [[ $funcstack[1] == _fixity ]]; then
  _fixity "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _fixity fixity
fi
`;
}

function zshFlag({ long, short, description, value, words }: CompletedFlag): string[] {
  const text = description.replaceAll(/[[\]\\:]/g, "\\$&");
  const action = words.length > 0 ? `(${words.join(" ")})` : PATH_VALUE.test(value ?? "") ? "_files" : " ";
  const argument = value === null ? "" : `:${value.replaceAll(":", "\\:")}:${action}`;
  return (short === null ? [long] : [short, long]).map((flag) => quoted(`${flag}[${text}]${argument}`));
}

function fishScript(commands: readonly CompletedCommand[], own: readonly CompletedFlag[]): string {
  const lines = ["# fish completion of fixity: fixity completion fish | source", "complete -c fixity -f"];
  for (const flag of own) lines.push(fishFlag(flag, "__fish_use_subcommand"));
  for (const { names, description, flags, words, takesFiles } of commands) {
    const condition = `__fish_seen_subcommand_from ${names.join(" ")}`;
    for (const name of names) {
      lines.push(`complete -c fixity -n __fish_use_subcommand -a ${name} -d ${fishQuoted(description)}`);
    }
    for (const flag of flags) lines.push(fishFlag(flag, condition));
    if (takesFiles) lines.push(`complete -c fixity -n ${fishQuoted(condition)} -F`);
    if (words.length > 0) {
      // Its words are names of commands, which would otherwise count as the command.
      lines.push(`complete -c fixity -n ${fishQuoted(condition)} -a ${fishQuoted(words.join(" "))}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function fishFlag({ long, short, description, value, words }: CompletedFlag, condition: string): string {
  const names = `-l ${long.slice(2)}${short === null ? "" : ` -s ${short.slice(1)}`}`;
  const kind = PATH_VALUE.test(value ?? "") ? "-r -F" : "-x";
  const argument = value === null ? "" : ` ${kind}${words.length > 0 ? ` -a ${fishQuoted(words.join(" "))}` : ""}`;
  return `complete -c fixity -n ${fishQuoted(condition)} ${names}${argument} -d ${fishQuoted(description)}`;
}

function flagNames(flags: readonly CompletedFlag[]): string[] {
  return flags.flatMap(({ long, short }) => (short === null ? [long] : [short, long]));
}

/** Text in single quotes, for bash and zsh. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
}
