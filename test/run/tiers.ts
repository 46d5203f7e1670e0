/** A tier is a set of tests that needs the same of the machine. */
export interface Tier {
  readonly name: "unit" | "integration" | "scenario" | "sim" | "faults";
  /** True when it needs the staged programs and test hosts. */
  readonly needsHosts: boolean;
  /** True when `npm test` without a name runs it. */
  readonly main: boolean;
}

export const tiers: readonly Tier[] = [
  { name: "unit", needsHosts: false, main: true },
  { name: "integration", needsHosts: false, main: true },
  { name: "scenario", needsHosts: true, main: true },
  { name: "sim", needsHosts: false, main: true },
  { name: "faults", needsHosts: true, main: true },
];
