import { AppError } from "../lib/app-error.ts";

/**
 * Splits a command of a layer into arguments by the quoting rules of a shell and nothing else of it: no variables, globs
 * or substitutions. Arguments in `[ … ]` are defaults that a caller could replace; they are taken as they stand.
 */
export function splitCommand(command: string): readonly string[] {
  const words: string[] = [];
  const token = /\s+|'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\]+)/gy;
  let word: string | undefined;
  let plain = true;
  const end = (): void => {
    const bracket = plain && (word === "[" || word === "]");
    if (word !== undefined && !bracket) words.push(word);
    word = undefined;
    plain = true;
  };
  while (token.lastIndex < command.length) {
    const match = token.exec(command);
    if (match === null)
      throw new AppError("invalid", `cannot read the command ${JSON.stringify(command)}: a quote is not closed`);
    const [, single, double, escaped, bare] = match;
    if (single === undefined && double === undefined && escaped === undefined && bare === undefined) {
      end();
      continue;
    }
    if (bare === undefined) plain = false;
    word = (word ?? "") + (single ?? double?.replace(/\\([\\"$`])/g, "$1") ?? escaped ?? bare ?? "");
  }
  end();
  if (words.length === 0) throw new AppError("invalid", "cannot run an empty command");
  return words;
}

export function joinCommand(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}
