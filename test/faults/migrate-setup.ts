import { afterAll, afterEach, beforeEach } from "vitest";
import { bootstrap } from "../expect-node.ts";
import type { Host } from "../hosts/types.ts";
import { waitForDaemon } from "../node.ts";
import {
  contentHash,
  type Engine,
  fill,
  isOn,
  migrate,
  migrates,
  report,
  write,
} from "../scenarios/migrate/engines.ts";
import { kill } from "./join-setup.ts";
import { createFaultPoints, type FaultPoints } from "./points.ts";

/** A node that is not bootstrapped yet. */
export interface Movable extends AsyncDisposable {
  readonly host: Host;
  /** What a migration to this engine is given; of a database of somebody else a new one each time. */
  given?(to: Engine): Promise<string | undefined>;
}

/** A migration that meets a fault where it is held. */
export interface Meeting {
  readonly from: Engine;
  readonly to: Engine;
  readonly step: number;
  readonly moment?: "in-run" | "in-undo";
  /** The step that fails once it is done, so that all is taken back. */
  readonly failing?: number;
  readonly fault: () => Promise<unknown>;
}

/** How `k8s datastore migrate` ended; undefined if it never got an answer. */
type Ended = Awaited<ReturnType<typeof migrate>> | undefined;

export type Victim = "k8sd" | "the power";
export const victims: readonly Victim[] = ["k8sd", "the power"];

/**
 * A node with keys whose datastore the tests of a file move. After a test that failed nobody knows what it is like: the next one
 * gets a node of its own.
 */
export function createMover<M extends Movable>(make: () => Promise<M>) {
  let movable: M | undefined;
  let points: FaultPoints | undefined;
  let content = "";

  async function discard(): Promise<void> {
    const old = movable;
    movable = undefined;
    await old?.[Symbol.asyncDispose]();
  }

  beforeEach(async () => {
    if (movable !== undefined) return;
    movable = await make();
    points = createFaultPoints(movable.host);
    await bootstrap(movable.host);
    await fill(movable.host, 300);
    content = await contentHash(movable.host);
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== "fail") return points?.clear();
    movable?.host.markFailed();
    await discard();
  });
  afterAll(discard);

  function current(): { readonly node: M; readonly host: Host; readonly points: FaultPoints } {
    if (movable === undefined || points === undefined) throw new Error("the node was not made");
    return { node: movable, host: movable.host, points };
  }

  async function startsOn(engine: Engine): Promise<void> {
    const { host, node } = current();
    if ((await report(host)).engine !== engine) await migrates(host, engine, await node.given?.(engine));
  }

  async function nothingIsLost(engine: Engine): Promise<void> {
    const { host } = current();
    await isOn(host, engine);
    const found = await contentHash(host);
    if (found !== content) throw new Error(`the content has changed: its hash was ${content}, and is ${found}`);
  }

  return {
    current,
    startsOn,
    nothingIsLost,

    /**
     * A client writes meanwhile; all that was acknowledged is there when it is over.
     * @param ends the engine that the data must be on then, which may depend on how the command ended
     */
    async meets({ from, to, step, moment = "in-run", failing, fault }: Meeting, ends: (how: Ended) => Engine) {
      const { host, node, points: held } = current();
      await startsOn(from);
      const config = await node.given?.(to);
      const writing = await write(host);
      if (failing !== undefined) await held.fail(failing, "after-run");
      await held.hold(step, moment);
      const running = migrate(host, to, config).catch(() => undefined);
      await held.reached(step, moment);
      await fault();
      await held.clear();
      await waitForDaemon(host);
      await nothingIsLost(ends(await running));
      await writing.ends();
      return { config };
    },

    /** Ends the daemon, or all of the host and starts it again. */
    async hit(victim: Victim): Promise<void> {
      const { host } = current();
      if (victim === "k8sd") return kill(host, "k8sd");
      await host.cutPower();
      await host.boot();
    },
  };
}
