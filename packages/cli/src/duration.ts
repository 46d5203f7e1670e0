/** Durations are integers of nanoseconds, as on the wire; their text is Go's: `1m30s`, `500ms`. */

const unitNanoseconds: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3,
  "\u03bcs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

export const second = 1e9;

/** @throws Error with the text that Go's parser gives. */
export function parseDuration(text: string): number {
  const quoted = JSON.stringify(text);
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = text.replace(/^[-+]/, "");
  if (rest === "0") return 0;
  if (rest === "") throw new Error(`time: invalid duration ${quoted}`);
  let total = 0;
  while (rest !== "") {
    const number = /^(\d+\.?\d*|\.\d+)/.exec(rest)?.[0];
    if (number === undefined) throw new Error(`time: invalid duration ${quoted}`);
    rest = rest.slice(number.length);
    const unit = /^[^.\d]+/.exec(rest)?.[0];
    if (unit === undefined) throw new Error(`time: missing unit in duration ${quoted}`);
    const factor = Object.hasOwn(unitNanoseconds, unit) ? unitNanoseconds[unit] : undefined;
    if (factor === undefined) throw new Error(`time: unknown unit ${JSON.stringify(unit)} in duration ${quoted}`);
    total += Math.trunc(Number(number) * factor);
    rest = rest.slice(unit.length);
  }
  if (total > 2 ** 63) throw new Error(`time: invalid duration ${quoted}`);
  return total === 0 ? 0 : sign * total;
}

export function formatDuration(nanoseconds: number): string {
  const sign = nanoseconds < 0 ? "-" : "";
  const value = Math.abs(nanoseconds);
  if (value === 0) return "0s";
  if (value < 1e3) return `${sign}${value}ns`;
  if (value < 1e6) return `${sign}${value / 1e3}\u00b5s`;
  if (value < 1e9) return `${sign}${value / 1e6}ms`;
  const minutes = Math.floor(value / 60e9);
  const seconds = `${(value - minutes * 60e9) / 1e9}s`;
  if (minutes === 0) return `${sign}${seconds}`;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${sign}${minutes}m${seconds}` : `${sign}${hours}h${minutes % 60}m${seconds}`;
}

/** A timeout as `--timeout` means it: nothing below three seconds, and the user is told. */
export function atLeastMinimum(timeout: number, printError: (text: string) => void): number {
  const minimum = 3 * second;
  if (timeout >= minimum) return timeout;
  printError(`Timeout ${formatDuration(timeout)} is less than minimum of 3s. Using the minimum 3s instead.\n`);
  return minimum;
}
