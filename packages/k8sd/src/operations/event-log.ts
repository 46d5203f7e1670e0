import type { OperationEvent } from "@k8sd/api-types";

/** The events of one operation so far, and those to come, for any number of readers that may come late. */
export interface EventLog {
  add(event: OperationEvent): void;
  end(): void;
  /** What was added until now. */
  seen(): readonly OperationEvent[];
  read(): AsyncIterable<OperationEvent>;
}

export function createEventLog(past: readonly OperationEvent[] = []): EventLog {
  const events = [...past];
  let ended = false;
  let changed = Promise.withResolvers<void>();
  const wake = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  return {
    add: (event) => {
      events.push(event);
      wake();
    },
    end: () => {
      ended = true;
      wake();
    },
    seen: () => [...events],
    read: async function* () {
      for (let next = 0; ; ) {
        const event = events[next];
        if (event !== undefined) {
          next += 1;
          yield event;
        } else if (ended) {
          return;
        } else {
          await changed.promise;
        }
      }
    },
  };
}
