import { changed, type Operation, type SeenEvent, type SeenWatch } from "./operations.ts";

/** One order for the whole store: revisions follow real time, and never go back. */
export function revisionFaults(operations: readonly Operation[]): string[] {
  const answered = operations.flatMap((operation) =>
    operation.answer ? [{ operation, answer: operation.answer }] : [],
  );
  const faults: string[] = [];
  const byEnd = answered.toSorted((a, b) => a.operation.end - b.operation.end);
  let ended = 0;
  let newest = 0;
  for (const { operation, answer } of answered.toSorted((a, b) => a.operation.start - b.operation.start)) {
    for (let each = byEnd[ended]; each && each.operation.end < operation.start; each = byEnd[++ended]) {
      newest = Math.max(newest, each.answer.revision);
    }
    const least = changed(operation) ? newest + 1 : newest;
    if (answer.revision < least) {
      faults.push(`${describe(operation)}: revision ${answer.revision} after an answer that said ${newest}`);
    }
  }
  return faults;
}

/** What was acknowledged happened, at the revision that was told; what happened was asked for; each revision once. */
export function eventFaults(operations: readonly Operation[], reference: readonly SeenEvent[], from: number): string[] {
  const faults: string[] = [];
  const byRevision = new Map(reference.map((event) => [event.revision, event]));
  const values = new Set(operations.map(({ call }) => ("value" in call ? call.value : undefined)));
  for (const operation of operations.filter(changed)) {
    const event = byRevision.get(operation.answer?.revision ?? 0);
    const value = "value" in operation.call ? operation.call.value : undefined;
    if (event?.key !== operation.key || event.value !== value) faults.push(`lost write: ${describe(operation)}`);
  }
  const now = new Map<string, SeenEvent>();
  let expected = from;
  for (const event of reference) {
    if (event.revision !== expected) faults.push(`revision ${expected} expected, ${event.revision} found`);
    expected = event.revision + 1;
    if (event.value !== undefined && !values.has(event.value)) faults.push(`nobody wrote ${event.value}`);
    const before = now.get(event.key);
    if (event.previous !== before?.value) faults.push(`wrong previous value at ${event.revision}`);
    const version = event.value === undefined ? 0 : (before?.version ?? 0) + 1;
    if (event.version !== version) faults.push(`version ${event.version} at ${event.revision}, not ${version}`);
    now.set(event.key, event);
  }
  return faults;
}

/** A watch is ordered, unique and reliable, over every resume: exactly the events of its keys from its first revision on. */
export function watchFaults(watch: SeenWatch, reference: readonly SeenEvent[]): string[] {
  const expected = reference.filter(({ key, revision }) => revision >= watch.from && key.startsWith(watch.prefix));
  let next = 0;
  let told = 0;
  for (const each of watch.seen) {
    if ("progress" in each) {
      told = Math.max(told, each.progress);
      const missed = expected[next];
      if (missed && missed.revision <= each.progress) {
        return [`${watch.name}: progress to ${each.progress} before the event of ${missed.revision}`];
      }
      continue;
    }
    const wanted = expected[next++];
    const same =
      wanted?.revision === each.revision &&
      wanted.key === each.key &&
      wanted.value === each.value &&
      wanted.version === each.version &&
      wanted.previous === each.previous;
    if (!same) {
      return [`${watch.name}: event ${next - 1} is ${JSON.stringify(each)}, expected ${JSON.stringify(wanted)}`];
    }
    if (each.revision <= told) return [`${watch.name}: event of ${each.revision} after progress to ${told}`];
  }
  if (next === expected.length) return [];
  return [`${watch.name}: ${expected.length - next} events missing from revision ${expected[next]?.revision} on`];
}

const describe = ({ client, key, call, start, end }: Operation): string =>
  `${call.kind} of ${key} by client ${client} at ${start.toFixed(1)}–${end.toFixed(1)} ms ${JSON.stringify(call)}`;
