export interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Virtual time: things happen in the order of their time, and at one time in the order they were asked for. */
export interface Events {
  readonly now: number;
  at(time: number, run: () => void): Event;
  /** Runs everything up to `time`, which then is now. */
  runUntil(time: number): void;
}

export function createEvents(): Events {
  const heap: Event[] = [];
  let now = 0;
  let order = 0;

  const before = (a: Event, b: Event): boolean => (a.at === b.at ? a.order < b.order : a.at < b.at);

  function push(event: Event): void {
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Event;
      if (!before(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  function pop(): Event {
    const top = heap[0] as Event;
    const last = heap.pop() as Event;
    if (heap.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      const below = heap[child] as Event;
      if (!before(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
    return top;
  }

  return {
    get now() {
      return now;
    },
    at: (time, run) => {
      const event = { at: Math.max(time, now), order: order++, run, cancelled: false };
      push(event);
      return event;
    },
    runUntil: (time) => {
      while (heap.length > 0 && (heap[0] as Event).at <= time) {
        const event = pop();
        now = event.at;
        if (!event.cancelled) event.run();
      }
      now = time;
    },
  };
}
