import type { NodeId } from "./types.ts";

interface Place {
  readonly id: NodeId;
  /** Of its id, the same wherever it is computed. */
  readonly hash: number;
}

/**
 * Whom a node watches in a large cluster: the next one on each of several rings, each in an order of its own (the monitoring
 * topology of Rapid, USENIX ATC 2018). Everybody watches and is watched by as many, the whole holds together when many
 * fail, and a node that comes or goes changes one link on each ring, where watching all in turn connects all with all.
 *
 * @param self the hash of this node
 * @returns each once; fewer than `rings` where two rings agree, none where nobody else is there
 */
export function nextOnRings(self: number, others: readonly Place[], rings: number): NodeId[] {
  const watched = new Set<NodeId>();
  for (let ring = 0; ring < rings; ring++) {
    const own = placeOn(ring, self);
    let nearest: NodeId | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const { id, hash } of others) {
      const distance = (placeOn(ring, hash) - own) >>> 0;
      if (distance < least) {
        nearest = id;
        least = distance;
      }
    }
    if (nearest !== undefined) watched.add(nearest);
  }
  return [...watched];
}

/** The finalizer of MurmurHash3: close hashes land far apart, differently on each ring. */
function placeOn(ring: number, hash: number): number {
  let mixed = hash ^ Math.imul(ring + 1, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
