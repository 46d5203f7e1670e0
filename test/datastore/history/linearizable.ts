import type { Operation } from "./operations.ts";

/** A key's state: its value and how often it was put since it was created. */
interface Register {
  readonly value: string | undefined;
  readonly version: number;
}

const empty: Register = { value: undefined, version: 0 };

/** The state after the operation, or undefined when the answer cannot have come from this state. */
function apply(state: Register, { call, answer }: Operation): Register | undefined {
  const asTold = !answer || (answer.value === state.value && answer.version === state.version);
  switch (call.kind) {
    case "read":
      return asTold ? state : undefined;
    case "put":
      return asTold ? { value: call.value, version: state.version + 1 } : undefined;
    case "delete":
      return asTold ? empty : undefined;
    case "swap": {
      const holds = state.value === call.expected;
      if (answer && answer.swapped !== holds) return undefined;
      if (!holds) return asTold ? state : undefined;
      return { value: call.value, version: state.version + 1 };
    }
  }
}

/** A place in time: an operation's start, or its end. */
interface Entry {
  readonly index: number;
  readonly isEnd: boolean;
  readonly at: number;
  previous: Entry | undefined;
  next: Entry | undefined;
}

/**
 * Is there an order of the operations of one key, within their times, in which every answer is right? Wing and Gong's search
 * with Lowe's memory of what was tried: an operation is taken when it may come next, and given back when nothing can follow.
 * Gives the operation beyond which no order goes, or undefined when there is one.
 */
export function violation(operations: readonly Operation[]): Operation | undefined {
  const { head, ends } = entries(operations);
  const taken = new Uint16Array(Math.ceil(operations.length / 16));
  const tried = new Set<string>();
  const stack: { entry: Entry; state: Register }[] = [];
  let state = empty;
  let entry = head.next;
  let furthest: Entry | undefined;

  const flip = (index: number) => {
    taken[index >> 4] = (taken[index >> 4] ?? 0) ^ (1 << (index & 15));
  };
  while (head.next) {
    if (entry && !entry.isEnd) {
      const after = apply(state, operations[entry.index] as Operation);
      if (after) {
        flip(entry.index);
        const place = `${String.fromCharCode(...taken)}|${after.version}|${after.value}`;
        if (!tried.has(place)) {
          tried.add(place);
          stack.push({ entry, state });
          state = after;
          lift(entry, ends[entry.index] as Entry);
          entry = head.next;
          continue;
        }
        flip(entry.index);
      }
      entry = entry.next;
      continue;
    }
    // An operation ended that could not be taken. What never ended is behind all others and may be left out.
    if (!entry || entry.at === Number.POSITIVE_INFINITY) return undefined;
    if (!furthest || entry.at > furthest.at) furthest = entry;
    const last = stack.pop();
    if (!last) return operations[furthest.index];
    state = last.state;
    flip(last.entry.index);
    unlift(last.entry, ends[last.entry.index] as Entry);
    entry = last.entry.next;
  }
  return undefined;
}

function entries(operations: readonly Operation[]): { head: Entry; ends: Entry[] } {
  const make = (index: number, isEnd: boolean, at: number): Entry => ({
    index,
    isEnd,
    at,
    previous: undefined,
    next: undefined,
  });
  const starts = operations.map(({ start }, index) => make(index, false, start));
  const ends = operations.map(({ end }, index) => make(index, true, end));
  // At the same moment starts come first: such operations may have met.
  const all = [...starts, ...ends].sort((a, b) => (a.at === b.at ? Number(a.isEnd) - Number(b.isEnd) : a.at - b.at));
  const head = make(-1, false, Number.NEGATIVE_INFINITY);
  let last = head;
  for (const entry of all) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  return { head, ends };
}

function lift(start: Entry, end: Entry): void {
  for (const each of [start, end]) {
    if (each.previous) each.previous.next = each.next;
    if (each.next) each.next.previous = each.previous;
  }
}

/** The reverse of lift: the neighbours are those of the moment it was taken out. */
function unlift(start: Entry, end: Entry): void {
  for (const each of [end, start]) {
    if (each.previous) each.previous.next = each;
    if (each.next) each.next.previous = each;
  }
}

/** Every key on its own: a store is linearizable when each of its keys is. */
export function violations(operations: readonly Operation[]): Operation[] {
  const byKey = Map.groupBy(operations, ({ key }) => key);
  return [...byKey.values()].flatMap((each) => violation(each) ?? []);
}
