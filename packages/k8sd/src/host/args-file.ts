import { AppError } from "../lib/app-error.ts";

/**
 * Argument files: one `--flag="value"` per line, sorted, trailing newline. Lines that an update does not name stay as they
 * are, whoever wrote them. `snap/bin/run-service` reads the same format; the two must agree.
 */
export interface ArgsUpdate {
  readonly set: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

/** Longer lines are not arguments anybody meant, and the kernel takes 128 KiB per argument at most. */
const maxLineBytes = 128 * 1024 - 1;

/** The flag of a line: up to the first space or `=`. Undefined for blank lines and comments. */
export function parseArgLine(line: string): { key: string; value: string | undefined } | undefined {
  const text = line.trim();
  if (text === "" || text.startsWith("#")) return undefined;
  const end = text.search(/[ =]/);
  if (end === -1) return { key: text, value: undefined };
  return {
    key: text.slice(0, end),
    value: text
      .slice(end + 1)
      .trim()
      .replace(/^"+|"+$/g, ""),
  };
}

/** Flag → value; a flag without a value has undefined. The last line of a flag wins, as in the programs that get them. */
export function parseArgs(text: string): ReadonlyMap<string, string | undefined> {
  const args = new Map<string, string | undefined>();
  for (const line of text.split("\n")) {
    const parsed = parseArgLine(line);
    if (parsed !== undefined) args.set(parsed.key, parsed.value);
  }
  return args;
}

/** `changed` is about what the program is given; the order of lines alone is no change. */
export function updateArgs(text: string, update: ArgsUpdate): { text: string; changed: boolean } {
  const missing = new Map(Object.entries(update.set));
  const remove = new Set(update.remove);
  const lines: string[] = [];
  let changed = false;
  for (const line of text.split("\n")) {
    const parsed = parseArgLine(line);
    if (parsed === undefined) {
      if (line.trim() !== "") lines.push(line);
      continue;
    }
    const wanted = update.set[parsed.key];
    if (wanted !== undefined) {
      // A second line of the same flag would win over the first one.
      if (!missing.delete(parsed.key)) changed = true;
      else {
        lines.push(formatArg(parsed.key, wanted));
        if (parsed.value !== wanted) changed = true;
      }
    } else if (remove.has(parsed.key)) changed = true;
    else lines.push(line);
  }
  for (const [key, value] of missing) {
    lines.push(formatArg(key, value));
    changed = true;
  }
  return { text: lines.length === 0 ? "" : `${lines.sort(byBytes).join("\n")}\n`, changed };
}

export function formatArg(key: string, value: string): string {
  return `${key}="${value}"`;
}

/** Throws when an argument cannot be written so that the program gets exactly this value. */
export function validateArgs(service: string, args: Readonly<Record<string, string>>): void {
  for (const [flag, value] of Object.entries(args)) {
    const reason = flagProblem(flag) ?? valueProblem(value);
    if (reason === undefined && Buffer.byteLength(formatArg(flag, value)) <= maxLineBytes) continue;
    throw new AppError(
      "invalid",
      `cannot set ${JSON.stringify(flag)} of ${service}: ${reason ?? "it is longer than 128 KiB"}`,
      {
        field: flag,
        remedy: "Give the flag as --name with a value on one line, without quotes around it.",
      },
    );
  }
}

function flagProblem(flag: string): string | undefined {
  if (!flag.startsWith("--")) return "its name does not start with --";
  if (!/^--[A-Za-z0-9][A-Za-z0-9._-]*$/.test(flag)) return "its name may hold letters, digits, '.', '_' and '-' only";
  return undefined;
}

function valueProblem(value: string): string | undefined {
  if (/[\n\r\0]/.test(value)) return "its value holds a line break or a NUL character";
  if (value.startsWith('"') || value.endsWith('"'))
    return "its value starts or ends with a double quote, which the file format drops";
  return undefined;
}

export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
