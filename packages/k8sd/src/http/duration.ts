/** Durations are nanoseconds on the wire; a fraction of a millisecond is not nothing. */
export function toMs(nanoseconds: number): number {
  return Math.ceil(nanoseconds / 1e6);
}
