import { bootstrap } from "../expect-node.ts";
import type { Host } from "../hosts/types.ts";
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
import { createFaultPoints } from "./points.ts";
import { createShared } from "./shared.ts";
import { interrupted } from "./victim.ts";

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

/** A node with keys whose datastore the tests of a file move. */
export function createMover<M extends Movable>(make: () => Promise<M>) {
  const current = createShared(async () => {
    await using stack = new AsyncDisposableStack();
    const node = stack.use(await make());
    const { host } = node;
    await bootstrap(host);
    await fill(host, 300);
    const content = await contentHash(host);
    const owned = stack.move();
    const points = createFaultPoints(host);
    return { node, host, hosts: [host], points, content, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  });

  async function startsOn(engine: Engine): Promise<void> {
    const { host, node } = current();
    if ((await report(host)).engine !== engine) await migrates(host, engine, await node.given?.(engine));
  }

  async function nothingIsLost(engine: Engine): Promise<void> {
    const { host, content } = current();
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
      const { host, node, points } = current();
      await startsOn(from);
      const config = await node.given?.(to);
      const writing = await write(host);
      if (failing !== undefined) await points.fail(failing, "after-run");
      const run = () => migrate(host, to, config);
      const ended = await interrupted({ host, points, step, moment, run, fault });
      await nothingIsLost(ends(ended));
      await writing.ends();
      return { config };
    },
  };
}
