/**
 * Scripts that complete the flags of a program in a shell.
 *
 * @module
 */

import type { Flag } from "./flags.ts";

/**
 * The script for a shell.
 *
 * @param shell The shell.
 * @param program The command that is completed.
 * @param flags Its flags.
 * @param descriptions One line for each flag.
 */
export function completion<F extends Record<string, Flag<unknown>>>(
  shell: "bash" | "zsh" | "fish",
  program: string,
  flags: F,
  descriptions: Record<keyof F & string, string>,
): string {
  const rows = Object.entries(flags).map(([name, { placeholder, alias }]) => ({
    name,
    alias,
    hasValue: placeholder !== undefined,
    isFile: placeholder?.includes("FILE") === true,
    // Only of words in lower case: what is in upper case stands for a value.
    choices: /^[a-z0-9-]+(\|[a-z0-9-]+)+$/i.test(placeholder ?? "")
      ? placeholder!.split("|").filter((choice) => choice !== choice.toUpperCase())
      : [],
    text: descriptions[name]!,
  }));
  return { bash, zsh, fish }[shell](program, rows);
}

/** What a script says of a flag. */
interface Row {
  name: string;
  alias: string | undefined;
  hasValue: boolean;
  isFile: boolean;
  choices: string[];
  text: string;
}

function bash(program: string, rows: Row[]): string {
  const words = rows.map(({ name, hasValue }) => `--${name}${hasValue ? "=" : ""}`).join(" ");
  const cases = rows.filter(({ choices }) => choices.length > 0)
    .map(({ name, choices }) => `    --${name}) words="${choices.join(" ")}" ;;`);
  const files = rows.filter(({ isFile }) => isFile).map(({ name }) => `--${name}`).join("|");
  return `# ${program} --completion=bash > ~/.local/share/bash-completion/completions/${program}
_${program}() {
  local word=\${COMP_WORDS[COMP_CWORD]} flag=\${COMP_WORDS[COMP_CWORD - 1]} words
  if [[ $word == = ]]; then word=; elif [[ $flag == = ]]; then flag=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  case $flag in
${cases.join("\n")}
    ${files}) compopt -o default; COMPREPLY=(); return ;;
    *) words="${words}" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ \${COMPREPLY[0]-} == *= ]]; then compopt -o nospace; fi
}
complete -F _${program} ${program}`;
}

function zsh(program: string, rows: Row[]): string {
  const quoted = (text: string) => text.replaceAll(/[[\]:\\]/g, "\\$&").replaceAll("'", "'\\''");
  const specs = rows.map(({ name, hasValue, isFile, choices, text }) => {
    const action = isFile ? "_files" : choices.length > 0 ? `(${choices.join(" ")})` : " ";
    return `  '*--${name}${hasValue ? "=" : ""}[${quoted(text)}]${
      hasValue ? `:${name}:${action}` : ""
    }'`;
  });
  return `#compdef ${program}
# ${program} --completion=zsh > "\${fpath[1]}/_${program}"
_arguments -s \\
${specs.join(" \\\n")} \\
  '1:URL: '`;
}

function fish(program: string, rows: Row[]): string {
  const quoted = (text: string) => `'${text.replaceAll(/[\\']/g, "\\$&")}'`;
  const lines = rows.map(({ name, alias, hasValue, isFile, choices, text }) =>
    [
      `complete -c ${program} -l ${name}`,
      ...alias === undefined ? [] : [`-s ${alias}`],
      ...hasValue ? [isFile ? "-r -F" : "-x"] : ["-f"],
      ...choices.length === 0 ? [] : [`-a ${quoted(choices.join(" "))}`],
      `-d ${quoted(text)}`,
    ].join(" ")
  );
  return [
    `# ${program} --completion=fish > ~/.config/fish/completions/${program}.fish`,
    ...lines,
  ].join("\n");
}
