/** Faults of a kind in one history. */
export const rounds = Number(process.env.K8SD_HISTORY_ROUNDS ?? 1);
/** Histories of each kind follow one another for so long; ten minutes of each are a full run. */
const minutes = Number(process.env.K8SD_HISTORY_MINUTES ?? 0);
const firstSeed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Of a test with `repeat`: the last history may begin just before the time is over. */
export const repeatMs = (minutes + 10) * 60_000;

/** Runs it with ever new seeds until the time is over, at least once. */
export async function repeat(run: (seed: number) => Promise<void>): Promise<void> {
  const end = performance.now() + minutes * 60_000;
  let seed = firstSeed;
  do {
    await run(seed++);
  } while (performance.now() < end);
}
