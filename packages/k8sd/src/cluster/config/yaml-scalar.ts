/** The words and numbers of YAML 1.1 as Go's yaml.v2 reads plain scalars. */
const words: ReadonlyMap<string, boolean> = new Map([
  ...["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"].map((word) => [word, true] as const),
  ...["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"].map((word) => [word, false] as const),
]);

export function scalarIsNull(text: string): boolean {
  return ["", "~", "null", "Null", "NULL"].includes(text);
}

export function scalarAsBoolean(text: string): boolean | undefined {
  return words.get(text);
}

/** Decimal, 0x, 0b, 0o and, as in C, a leading zero for octal; underscores between digits mean nothing. */
export function scalarAsInteger(text: string): number | undefined {
  const number = scalarAsNumber(text);
  return number !== undefined && Number.isSafeInteger(number) ? number : undefined;
}

export function scalarAsAny(text: string): string | number | boolean {
  return scalarAsBoolean(text) ?? scalarAsNumber(text) ?? text;
}

function scalarAsNumber(text: string): number | undefined {
  const [, sign = "", digits = ""] = /^([-+]?)(.*)$/.exec(text.replaceAll("_", "")) ?? [];
  if (!/^[\d.]/.test(digits)) return undefined;
  const factor = sign === "-" ? -1 : 1;
  const octal = /^0o?([0-7]+)$/.exec(digits)?.[1];
  if (octal !== undefined) return factor * Number.parseInt(octal, 8);
  if (/^0x[\da-f]+$/i.test(digits) || /^0b[01]+$/.test(digits)) return factor * Number(digits);
  return /^(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(digits) ? factor * Number(digits) : undefined;
}
