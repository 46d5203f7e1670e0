/** One figure of a benchmark, as it is written to the JSON file. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  /** "" for a count or a ratio. */
  readonly unit: "" | "ms" | "s" | "MiB" | "1/s";
  /** The figure it is compared with, measured in the same run, and value / reference. */
  readonly reference?: number;
  readonly ratio?: number;
  readonly goal?: Goal;
  /** Absent without a goal. */
  readonly holds?: boolean;
}

export interface Goal {
  readonly is: "at most" | "at least";
  readonly value: number;
}

export function figure(
  name: string,
  value: number,
  unit: Figure["unit"],
  more: { readonly goal?: Goal; readonly reference?: number } = {},
): Figure {
  const { goal, reference } = more;
  return {
    name,
    value: round(value),
    unit,
    ...(reference === undefined ? {} : { reference: round(reference), ratio: round(value / reference) }),
    ...(goal === undefined ? {} : { goal, holds: goal.is === "at most" ? value <= goal.value : value >= goal.value }),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const high = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2;
}

/** A table that a person can read, one figure a line. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, ratio, goal, holds }) => [
    name,
    `${value} ${unit}`,
    ratio === undefined ? "" : `${ratio} ×`,
    goal === undefined ? "" : `${goal.is} ${goal.value} ${unit}`,
    holds === undefined ? "" : holds ? "holds" : "DOES NOT HOLD",
  ]);
  const all = [["figure", "value", "of reference", "goal", ""], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
