export class Killed extends Error {}

/** Counts what changes the world, and ends the process before one of these changes. */
export interface Fate {
  before: number;
  seen: number;
}

export function survive(fate: Fate): void {
  fate.seen += 1;
  if (fate.seen === fate.before) throw new Killed(`before change ${fate.seen}`);
}
