/** What is left out of the comparison, and why. Whatever is not here must be equal. */
export const knownDifferences = [
  {
    what: "clusterId, memberId and raftTerm of a header",
    reason: "identities; each server has its own",
    handled: "plain() keeps the revision alone",
  },
  {
    what: "the remaining life of a lease",
    reason: "depends on the moment of the call",
    handled: "only its sign is compared; restart.test.ts looks at the value",
  },
  {
    what: "the order of a lease's keys and of the list of leases",
    reason: "etcd walks a hash map, and sorts leases by an end that differs by nanoseconds",
    handled: "both are sorted",
  },
  {
    what: "the order of equal sort keys beyond twelve results",
    reason: "etcd's sort is unstable from there on",
    handled: "programs use ten keys",
  },
  {
    what: "how events are grouped into responses and fragments",
    reason: "etcd batches by time; only the order within a watch is promised",
    handled: "events of a watch are joined; fragments.test.ts looks at the cut",
  },
  {
    what: "the answer to a request for progress while a watch is behind",
    reason: "etcd answers later or not at all, depending on a loop of 100 ms",
    handled: "asked again until answered; then the revision is compared",
  },
  {
    what: "a second end of a watch that a compaction ended, and progress on its stream",
    reason: "etcd keeps the ended watch until its client cancels it, and gives no progress until then",
    handled: "watches from a compacted revision get a stream of their own",
  },
  {
    what: "unbounded deletion in a transaction beside a put of a key it covers",
    reason: "etcd's process ends with a panic",
    handled: "not generated",
  },
] as const;
