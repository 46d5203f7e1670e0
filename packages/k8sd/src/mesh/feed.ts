/** Hands events to any number of readers, each at its own pace. */
export interface Feed<T> {
  push(item: T): void;
  /** From now on; ends with the signal. A reader that falls `limit` events behind misses the oldest. */
  read(signal: AbortSignal): AsyncIterable<T>;
}

export function createFeed<T>(limit: number): Feed<T> {
  const readers = new Set<{ readonly items: T[]; wake: () => void }>();
  return {
    push: (item) => {
      for (const reader of readers) {
        reader.items.push(item);
        if (reader.items.length > limit) reader.items.shift();
        reader.wake();
      }
    },
    read: (signal) => {
      const reader = { items: [] as T[], wake: (): void => {} };
      if (!signal.aborted) readers.add(reader);
      signal.addEventListener(
        "abort",
        () => {
          readers.delete(reader);
          reader.wake();
        },
        { once: true },
      );
      return {
        async *[Symbol.asyncIterator]() {
          try {
            while (!signal.aborted) {
              const item = reader.items.shift();
              if (item !== undefined) yield item;
              else
                await new Promise<void>((resolve) => {
                  reader.wake = resolve;
                });
            }
          } finally {
            readers.delete(reader);
          }
        },
      };
    },
  };
}
