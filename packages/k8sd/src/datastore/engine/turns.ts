/**
 * Who is served next. A long list takes a millisecond or two, and hundreds may be asked for at once: after each few of them the
 * event loop turns, so that peers get what is ready and can ask for the rest of it, and connections take turns.
 */
export interface Turns {
  /** @param ready whether the connection's peer takes its answers: until then its requests wait. */
  join(ready: () => boolean): Turn;
  /** So many bytes were answered. */
  sent(bytes: number): void;
}

/** One connection's place. */
export interface Turn {
  /** Runs now, or when its turn comes. */
  run(work: () => void): void;
  /** It may be ready again. */
  relieved(): void;
  leave(): void;
}

interface Place {
  readonly ready: () => boolean;
  readonly waiting: (() => void)[];
}

/** What is answered in one turn of the event loop, if there is so much. */
const bytesPerTurn = 256 * 1024;

export function createTurns(): Turns {
  /** Those that have something waiting. */
  const line = new Set<Place>();
  let spent = 0;
  let resting = false;
  let advancing = false;

  function advance(): void {
    if (advancing) return;
    advancing = true;
    try {
      // A place that goes to the end of the line is met again in the same loop.
      for (const place of line) {
        if (resting) return;
        if (!place.ready()) continue;
        line.delete(place);
        const work = place.waiting.shift();
        if (place.waiting.length > 0) line.add(place);
        work?.();
      }
    } finally {
      advancing = false;
    }
  }

  return {
    join(ready) {
      const place: Place = { ready, waiting: [] };
      return {
        run(work) {
          if (!resting && place.waiting.length === 0 && ready()) return work();
          place.waiting.push(work);
          line.add(place);
        },
        relieved: advance,
        leave() {
          place.waiting.length = 0;
          line.delete(place);
        },
      };
    },
    sent(bytes) {
      spent += bytes;
      if (resting || spent <= bytesPerTurn) return;
      resting = true;
      setImmediate(() => {
        spent = 0;
        resting = false;
        advance();
      });
    },
  };
}
