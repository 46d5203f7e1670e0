import { counts, expectPace, type Pace, paceText } from "./sound.ts";

/** Faults of a kind in one history. */
export const rounds = Number(process.env.K8SD_HISTORY_ROUNDS ?? 1);
/** Histories of each kind follow one another for so long; ten minutes of each are a full run. */
const minutes = Number(process.env.K8SD_HISTORY_MINUTES ?? 0);
/** The load before and after each fault; in a long run more than the time that a fault takes. */
export const betweenFaultsMs = minutes > 0 ? 6_000 : 2_000;
const firstSeed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Of a test with `repeat`: the last history may begin just before the time is over. */
export const repeatMs = (minutes + 10) * 60_000;

/** A run that is too slow says nothing, for or against: it is made anew, so often. */
const attempts = 3;

/** Runs it with ever new seeds until the time is over, at least once; all together have to be fast enough to count. */
export async function repeat(run: (seed: number) => Promise<Pace | undefined>): Promise<void> {
  let seed = firstSeed;
  for (let attempt = 1; ; attempt++) {
    const end = performance.now() + minutes * 60_000;
    const began = seed;
    let all: Pace = { answered: 0, seconds: 0 };
    do {
      const pace = await run(seed++);
      if (pace === undefined) return;
      all = { answered: all.answered + pace.answered, seconds: all.seconds + pace.seconds };
    } while (performance.now() < end);
    if (seed - began > 1) console.log(`${seed - began} histories from seed ${began} on: ${paceText(all)}`);
    if (counts(all) || minutes > 0 || attempt === attempts) return expectPace(all);
    console.log(`does not count, again: ${paceText(all)}`);
  }
}
