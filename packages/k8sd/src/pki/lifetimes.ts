const dayMs = 86_400_000;

export const lifetimes = {
  /** Twenty years: replacing an authority means replacing trust everywhere, so it must not fall due by accident. */
  authority: 20 * 365 * dayMs,
  /**
   * One year: renewal happens at half of life, so a node may be left alone for six months and still renew in time;
   * shorter lives need renewal to run on every node first.
   */
  leaf: 365 * dayMs,
} as const;
