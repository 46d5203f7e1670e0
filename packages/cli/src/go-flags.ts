const truths: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true])),
  ...Object.fromEntries(["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false])),
};

export type Flags =
  | { readonly ok: true; readonly argv: readonly string[] }
  | { readonly ok: false; readonly message: string };

/**
 * Scripts written for Go programs say `--wait-ready=true`, which commander does not know of a flag without a value.
 * Arguments behind a command of `passthrough` are another program's and stay as they are.
 */
export function resolveBooleanFlags(
  argv: readonly string[],
  flags: ReadonlySet<string>,
  passthrough: ReadonlySet<string>,
): Flags {
  const resolved: string[] = [];
  for (const [index, argument] of argv.entries()) {
    if (argument === "--" || passthrough.has(argument)) {
      resolved.push(...argv.slice(index));
      break;
    }
    const [, flag, value] = /^(--[^=]+)=(.*)$/s.exec(argument) ?? [];
    if (flag === undefined || value === undefined || !flags.has(flag)) {
      resolved.push(argument);
      continue;
    }
    const truth = Object.hasOwn(truths, value) ? truths[value] : undefined;
    if (truth === undefined) {
      const quoted = JSON.stringify(value);
      const message = `invalid argument ${quoted} for "${flag}" flag: strconv.ParseBool: parsing ${quoted}: invalid syntax`;
      return { ok: false, message };
    }
    if (truth) resolved.push(flag);
  }
  return { ok: true, argv: resolved };
}
