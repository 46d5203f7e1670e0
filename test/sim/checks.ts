import { type Head, isNewer } from "@k8sd/k8sd/mesh/types.ts";
import type { Truth } from "./scenario.ts";
import type { Node, Observer, World } from "./world.ts";

export interface Checks extends Observer {
  readonly violations: readonly string[];
  watch(world: World): void;
  /** A control plane is about to say this: from now on it must never be lost. */
  published(truth: Truth): void;
  /** What has to hold at any time. */
  sample(): void;
  /** What has to hold when the faults are over. */
  final(truth: Truth): void;
}

/**
 * Between two nodes that run and reach each other, a wrong verdict lasts at most this long: a probe of the dead by
 * somebody, at the rate of a cluster where half are dead, and gossip of the refutation, with loss.
 */
const aliveWithinMs = 10_000;
/** A node that is gone this long is dead for everybody: a suspicion nobody confirms, and a round of probes at 50 nodes. */
const deadWithinMs = 40_000;
/** With somebody to confirm it, which is nearly always. */
const deadUsuallyWithinMs = 20_000;
/** Where two sides have just found each other again, a verdict of the other side may be faster than a good-bye. */
const leftWithinMs = 1_000;

export function createChecks(): Checks {
  const violations: string[] = [];
  const history = new Map<string, Truth>();
  const newest = new Map<Node, Head>();
  const verdicts = new Map<string, number>();
  /** Who took whom for dead that had left, and when. */
  let doubted: { observer: Node; subject: Node; at: number }[] = [];
  let world: World | undefined;

  const fail = (text: string): void => {
    if (violations.length < 20) violations.push(`${((world?.events.now ?? 0) / 1000).toFixed(1)} s: ${text}`);
  };
  const name = (node: Node): string => `node ${node.index}`;
  const stable = (node: Node): number =>
    node.core === undefined || node.leftSince !== undefined
      ? Number.NEGATIVE_INFINITY
      : (world?.events.now ?? 0) - node.stableSince;

  function beliefs(check: (observer: Node, subject: Node, state: string) => void): void {
    for (const observer of world?.nodes ?? []) {
      if (observer.core === undefined || observer.leftSince !== undefined) continue;
      const view = observer.core.detector.view();
      for (const subject of world?.nodes ?? []) {
        if (subject !== observer) check(observer, subject, view.get(subject.id)?.state ?? "missing");
      }
    }
  }

  return {
    violations,
    watch: (of) => {
      world = of;
    },
    liveness: (observer, change) => {
      const subject = world?.nodes.find(({ id }) => id === change.id);
      if (subject !== undefined) verdicts.set(`${observer.index} ${subject.index}`, world?.events.now ?? 0);
      if (subject?.leftSince === undefined || change.now !== "dead") return;
      // Whoever could hear the good-bye knows that it was none of a failure.
      if (
        observer.stableSince < subject.leftSince &&
        subject.stableSince < subject.leftSince &&
        observer.side === subject.side
      )
        doubted.push({ observer, subject, at: world?.events.now ?? 0 });
    },
    ledger: (node, head) => {
      const before = newest.get(node);
      if (before !== undefined && !isNewer(head, before)) {
        fail(`replica of ${name(node)} goes back from ${show(before)} to ${show(head)}`);
      }
      newest.set(node, head);
      const truth = history.get(show(head));
      const entries = node.core?.replica.entries;
      if (truth === undefined) fail(`${name(node)} shows revision ${show(head)}, which no control plane published`);
      else if (
        entries?.size !== truth.records.length ||
        truth.records.some(({ key, value }) => entries.get(key)?.value !== value)
      ) {
        fail(`${name(node)} shows other records at ${show(head)} than were published`);
      }
    },
    published: (truth) => {
      history.set(show(truth), truth);
    },
    sample: () => {
      const now = world?.events.now ?? 0;
      beliefs((observer, subject, state) => {
        if (observer.side !== subject.side) return;
        const heldFor = now - (verdicts.get(`${observer.index} ${subject.index}`) ?? now);
        if (state === "dead" && Math.min(heldFor, stable(observer), stable(subject)) >= aliveWithinMs)
          fail(`${name(observer)} takes ${name(subject)} for dead, which lives and is reachable`);
        const down = subject.leftSince === undefined ? subject.downSince : undefined;
        if (down === undefined || now - down < deadUsuallyWithinMs || stable(observer) < deadUsuallyWithinMs) return;
        const allowed = now - down < deadWithinMs && (world?.options.loss ?? 0) > 0.05;
        if (state !== "dead" && !allowed)
          fail(`${name(observer)} has not found that ${name(subject)} is dead: ${state}`);
      });
      const due = doubted.filter(({ at }) => now - at >= leftWithinMs);
      doubted = doubted.filter(({ at }) => now - at < leftWithinMs);
      for (const { observer, subject } of due) {
        const state = observer.core?.detector.view().get(subject.id)?.state;
        if (state === "dead" && subject.leftSince !== undefined && observer.leftSince === undefined)
          fail(`${name(observer)} takes ${name(subject)} for dead, which has left`);
      }
      for (const node of world?.nodes ?? []) {
        const before = newest.get(node);
        if (node.core !== undefined && before !== undefined && isNewer(before, node.core.replica.head))
          fail(`replica of ${name(node)} went back from ${show(before)} to ${show(node.core.replica.head)}`);
      }
    },
    final: (truth) => {
      for (const node of world?.nodes ?? []) {
        if (node.core === undefined || node.leftSince !== undefined) continue;
        if (show(node.core.replica.head) !== show(truth))
          fail(`${name(node)} is at ${show(node.core.replica.head)}, the ledger at ${show(truth)}`);
      }
      beliefs((observer, subject, state) => {
        const lives = subject.core !== undefined && subject.leftSince === undefined;
        if (lives && state !== "alive" && state !== "suspect")
          fail(`${name(observer)} takes ${name(subject)}, which lives, for ${state}`);
      });
    },
  };
}

function show({ epoch, revision }: Head): string {
  return `${epoch}/${revision}`;
}
