/** Numbers of the failure detector. All times in milliseconds. */
export interface DetectorOptions {
  /** Between two probes of one node. Each node is probed once in this time on average, whatever the size of the cluster. */
  readonly probeIntervalMs: number;
  /** With at most so many others, each node probes all of them in turn; with more, those next to it on the rings. */
  readonly watchesAllUpTo: number;
  /** How many others watch a node of a large cluster. */
  readonly rings: number;
  /** One probe in so many goes to anybody, so that round-trip times and last contacts of all are known some time. */
  readonly anyProbeEvery: number;
  /** Without an answer after this, others are asked to probe. */
  readonly directTimeoutMs: number;
  /** How many others are asked. */
  readonly indirectProbes: number;
  /** One probe in so many goes to a node that is held for dead, so that both sides of a healed partition find each other. */
  readonly deadProbeEvery: number;
  readonly gossipIntervalMs: number;
  /** Of news that nobody's life depends on. */
  readonly calmGossipIntervalMs: number;
  readonly gossipFanout: number;
  /** Each rumour is passed on this often × log10 of the cluster size by each node. */
  readonly retransmitFactor: number;
  /** Updates in one gossip message, and beside a probe: a message then stays within a packet or close to one. */
  readonly updatesPerGossip: number;
  readonly updatesPerProbe: number;
  /** Between two exchanges of everything believed with a random node; equal beliefs cost one small message. */
  readonly syncIntervalMs: number;
  /** A suspect has at least this long to object: base + perDecade × log10 of the cluster size. */
  readonly suspicionBaseMs: number;
  readonly suspicionPerDecadeMs: number;
  /** While only one node suspects, it may be the one at fault: it waits this much longer. */
  readonly suspicionMaxFactor: number;
  /** So many further nodes that suspect as well bring the time down to its least. */
  readonly confirmations: number;
  /** Steps by which a node that finds itself slow stretches its own timeouts. */
  readonly awarenessMax: number;
  /** A timer that runs this late means that this process did not run. */
  readonly lateMs: number;
  /** After that it judges nobody until it has read what arrived meanwhile. */
  readonly settleMs: number;
  /** Who is new in the ledger has this long to speak first; before that nobody asks whether it is alive. */
  readonly newcomerMs: number;
  /** A node that leaves goes after this, also when nobody has confirmed it. */
  readonly leaveDeadlineMs: number;
}

/**
 * Goals: at 100 nodes a dead node is known to all after 3 s (median) and 6 s (99 %). A node is first probed after
 * `probeIntervalMs` on average (exponential: 99 % within 4.6 of them), the probe fails after one more, the suspicion
 * takes base + 2 × perDecade, and gossip of the verdict about 0.4 s: 0.3 + 0.4 + 1.8 + 0.4 in the median.
 * Less suspicion would take processes that are starved for a second for dead.
 */
export const detectorDefaults: DetectorOptions = {
  probeIntervalMs: 400,
  watchesAllUpTo: 16,
  rings: 6,
  anyProbeEvery: 25,
  directTimeoutMs: 180,
  indirectProbes: 3,
  deadProbeEvery: 5,
  gossipIntervalMs: 100,
  calmGossipIntervalMs: 500,
  gossipFanout: 3,
  retransmitFactor: 4,
  updatesPerGossip: 48,
  updatesPerProbe: 16,
  syncIntervalMs: 5_000,
  suspicionBaseMs: 1_200,
  suspicionPerDecadeMs: 300,
  suspicionMaxFactor: 4,
  confirmations: 3,
  awarenessMax: 8,
  lateMs: 150,
  settleMs: 400,
  newcomerMs: 65_000,
  leaveDeadlineMs: 2_000,
};

/** How long a suspicion lasts before it becomes a verdict. `size` counts all nodes, suspect and accuser too. */
export function suspicionTimeout(options: DetectorOptions, size: number, confirmations: number): number {
  const least = options.suspicionBaseMs + options.suspicionPerDecadeMs * Math.log10(Math.max(1, size));
  const expected = Math.min(options.confirmations, size - 2);
  if (expected < 1) return least;
  const most = least * options.suspicionMaxFactor;
  const share = Math.log(confirmations + 1) / Math.log(expected + 1);
  return Math.max(least, most - (most - least) * share);
}

/** How often a node passes a rumour on. */
export function retransmits(options: DetectorOptions, size: number): number {
  return options.retransmitFactor * Math.ceil(Math.log10(size + 1));
}
