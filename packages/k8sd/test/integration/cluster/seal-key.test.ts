import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SealKeyState } from "@k8sd/api-types";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createRecords } from "../../../src/cluster/records.ts";
import { createSeal, createSealFile, sealedWith, sealKeyId, splitKeys } from "../../../src/cluster/seal.ts";
import { createRing, type Ring } from "../../../src/cluster/seal-key/ring.ts";
import { createRotation, isMoving } from "../../../src/cluster/seal-key/rotation.ts";
import { takeSavedKeys } from "../../../src/cluster/seal-key/saved-keys.ts";
import { createSnapshotSettings, sealedSettings } from "../../../src/cluster/snapshot/settings.ts";
import { type Fate, Killed, survive } from "./fate.ts";
import { aClaim, anOrder, type ControlPlane, createTestCluster, root, signal, type TestCluster } from "./support.ts";

const context = "cluster-secrets";
const secrets = JSON.stringify({ "ca-key": "hidden" });
const store = {
  ...{ url: "https://s3.example", bucket: "b", prefix: "", region: "r" },
  credentials: { accessKeyId: "a", secretAccessKey: "s" },
};

interface Node {
  readonly paths: { readonly sealKey: string; readonly clusterSecrets: string };
  readonly id: string;
  readonly name: string;
}

let cluster: TestCluster;
let plane: ControlPlane;
let folder = "";
let nodes: readonly [Node, Node];

beforeAll(async () => {
  cluster = await createTestCluster();
  plane = cluster.controlPlane();
  folder = await mkdtemp(join(tmpdir(), "k8sd-seal-key-"));
  const { secret } = await plane.tokens.create(anOrder({ role: "control-plane", name: "n2" }), root, signal());
  const { member } = await plane.admission.reserve(aClaim(secret, "n2", { role: "control-plane" }), signal());
  await plane.admission.begin(member.id, signal());
  await plane.admission.commit(member.id, signal());
  const paths = (name: string) => ({
    sealKey: join(folder, `${name}.key`),
    clusterSecrets: join(folder, `${name}.sealed`),
  });
  nodes = [
    { id: "founder", name: "n1", paths: paths("n1") },
    { id: member.id, name: "n2", paths: paths("n2") },
  ];
}, 60_000);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const sealOf = ({ paths }: Node) => createSealFile(paths.sealKey)();
const settingsOf = async (node: Node) => createSnapshotSettings(createRecords(plane.datastore), await sealOf(node));

/** As before the first change of the key: both nodes have one key, which sealed everything. */
beforeEach(async () => {
  await plane.datastore.txn({ success: [{ op: "delete", range: { prefix: "k8sd/seal/" } }] }, { signal: signal() });
  const seal = createSeal(new Uint8Array(32).fill(7));
  for (const { paths } of nodes) {
    await writeFile(paths.sealKey, new Uint8Array(32).fill(7));
    await writeFile(paths.clusterSecrets, seal.seal(secrets, context));
  }
  const settings = await settingsOf(nodes[0]);
  await settings.setLock("lock", signal());
  await settings.setStore(store, signal());
});

/** One start of k8sd on a node. */
function started({ id, paths }: Node, fate: Fate = { before: 0, seen: 0 }) {
  const ring = createRing(paths);
  const mortal =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      survive(fate);
      return call(...args);
    };
  const mortalRing: Ring = {
    ...ring,
    add: mortal(ring.add),
    make: mortal(ring.make),
    lead: mortal(ring.lead),
    forget: mortal(ring.forget),
  };
  const others = nodes.filter((node) => node.id !== id);
  return createRotation({
    ring: mortalRing,
    graceMs: 0,
    nodeId: () => id,
    datastore: async () => ({ ...plane.datastore, txn: mortal(plane.datastore.txn) }),
    fetch: async () => (await Promise.all(others.map((other) => createRing(other.paths).keys()))).flat(),
  });
}

/** Whatever happens, every node that runs can read every secret, but one that has just come back and did not look yet. */
async function everythingOpens(from: readonly Node[] = nodes): Promise<void> {
  for (const node of from) {
    const seal = await sealOf(node);
    expect(seal.open(await readFile(node.paths.clusterSecrets, "utf8"), context)).toBe(secrets);
    const settings = await settingsOf(node);
    expect(await settings.lock(signal())).toBe("lock");
    expect(await settings.store(signal())).toEqual(store);
  }
}

async function untilStill(...turns: ReturnType<typeof started>[]): Promise<SealKeyState> {
  for (let rounds = 0; rounds < 20; rounds += 1) {
    const states: SealKeyState[] = [];
    for (const turn of turns) {
      states.push(await turn.follow(signal()));
      await everythingOpens();
    }
    const last = states.at(-1);
    if (last !== undefined && !states.some(isMoving)) {
      // Once more, for what is forgotten after the last transition.
      for (const turn of turns) await turn.follow(signal());
      return last;
    }
  }
  throw new Error("the change of the key does not come to its end");
}

async function isDone(id: string): Promise<void> {
  for (const { paths } of nodes) {
    expect(await createRing(paths).ids()).toEqual([id]);
    expect(sealedWith(await readFile(paths.clusterSecrets, "utf8"))).toBe(id);
  }
  for (const key of sealedSettings) {
    expect(sealedWith((await createRecords(plane.datastore).get<string>(key, signal())) ?? "")).toBe(id);
  }
  await everythingOpens();
}

const oldId = sealKeyId(new Uint8Array(32).fill(7));

describe("a new key of the seal", { timeout: 60_000 }, () => {
  test("seals everything on all control planes, and the old one is forgotten", async () => {
    const [first, second] = [started(nodes[0]), started(nodes[1])];
    await untilStill(first, second);
    await first.begin(signal());
    const { id } = await untilStill(first, second);
    expect(id).not.toBe(oldId);
    await isDone(id);
  });

  test("is one, although both control planes are asked for it", async () => {
    const [first, second] = [started(nodes[0]), started(nodes[1])];
    await Promise.all([first.begin(signal()), second.begin(signal())]);
    await isDone((await untilStill(first, second)).id);
  });

  test("is there in the end, whichever of the changes k8sd does not live to see", async () => {
    let changes = 0;
    for (let killed = true; killed; changes += 1) {
      const [was] = await createRing(nodes[0].paths).ids();
      const mortal = started(nodes[0], { before: changes + 1, seen: 0 });
      killed = await mortal
        .begin(signal())
        .then(() => untilStill(mortal, started(nodes[1])))
        .then(
          () => false,
          (error: unknown) => {
            if (error instanceof Killed) return true;
            throw error;
          },
        );
      await everythingOpens();
      const again = started(nodes[0]);
      if ((await createRing(nodes[0].paths).ids())[0] === was) await again.begin(signal());
      const { id } = await untilStill(again, started(nodes[1]));
      expect(id).not.toBe(was);
      await isDone(id);
    }
    expect(changes).toBeGreaterThan(10);
  }, 120_000);

  test("waits for a control plane that is away, which reads everything when it is back", async () => {
    const first = started(nodes[0]);
    await untilStill(first, started(nodes[1]));
    await first.begin(signal());
    for (let rounds = 0; rounds < 3; rounds += 1) {
      expect(await first.follow(signal())).toMatchObject({ id: oldId, "waiting-for": ["n2"] });
      await everythingOpens();
    }
    await isDone((await untilStill(first, started(nodes[1]))).id);
  });

  test("reaches a control plane that was away when it began to seal", async () => {
    const [first, second] = [started(nodes[0]), started(nodes[1])];
    await first.begin(signal());
    await second.follow(signal());
    for (let rounds = 0; rounds < 3; rounds += 1) await first.follow(signal());
    expect(await first.state(signal())).toMatchObject({ leaving: oldId, "waiting-for": ["n2"] });
    await everythingOpens();
    await isDone((await untilStill(started(nodes[1]), first)).id);
  });

  test("reaches a node that came in with the old one and looks when all is over", async () => {
    const [first, second] = [started(nodes[0]), started(nodes[1])];
    await first.begin(signal());
    const { id } = await untilStill(first, second);
    const { paths } = nodes[1];
    await writeFile(paths.sealKey, new Uint8Array(32).fill(7));
    await writeFile(paths.clusterSecrets, createSeal(new Uint8Array(32).fill(7)).seal(secrets, context));
    await started(nodes[1]).follow(signal());
    await isDone(id);
  });

  test("that went with the node which made it is made anew", async () => {
    const [first, second] = [started(nodes[0]), started(nodes[1])];
    await untilStill(first, second);
    await first.begin(signal());
    await writeFile(nodes[0].paths.sealKey, new Uint8Array(32).fill(7));
    expect(await second.follow(signal())).toMatchObject({ id: oldId, "waiting-for": ["n1", "n2"] });
    await second.begin(signal());
    await isDone((await untilStill(second, first)).id);
  });

  test("stays the one that seals when the data of a snapshot from before comes back", async () => {
    const [first, second] = [started(nodes[0]), started(nodes[1])];
    await untilStill(first, second);
    const { paths } = nodes[0];
    const file = await readFile(paths.sealKey);
    const ranges = ["k8sd/seal/", ...sealedSettings].map((prefix) => plane.datastore.range({ prefix }));
    const saved = (await Promise.all(ranges)).flatMap(({ kvs }) => kvs);
    await first.begin(signal());
    const { id } = await untilStill(first, second);

    await plane.datastore.txn({ success: saved.map(({ key, value }) => ({ op: "put", key, value })) });
    await expect(settingsOf(nodes[0]).then((settings) => settings.lock(signal()))).rejects.toThrow(oldId);
    await takeSavedKeys(createRing(paths), file, plane.datastore, signal());
    await everythingOpens([nodes[0]]);
    expect(await first.state(signal())).toMatchObject({ id, leaving: oldId });
    await first.follow(signal());
    await everythingOpens();
    await untilStill(first, second);
    await isDone(id);
  });

  test("that nobody has who answers is told, and nothing is changed", async () => {
    const [first, second] = [started(nodes[0]), started(nodes[1])];
    await first.begin(signal());
    await untilStill(first, second);
    const { paths } = nodes[1];
    await writeFile(paths.sealKey, new Uint8Array(32).fill(9));
    const alone = createRotation({
      ring: createRing(paths),
      graceMs: 0,
      nodeId: () => nodes[1].id,
      datastore: async () => plane.datastore,
      fetch: async () => [],
    });
    await expect(alone.follow(signal())).rejects.toThrow("nobody who has it answers");
    expect(splitKeys(await readFile(paths.sealKey))).toHaveLength(1);
  });
});

test("what was sealed before keys had ids opens, and is sealed with one from then on", async () => {
  const [{ paths }] = nodes;
  const unnamed = (await readFile(paths.clusterSecrets, "utf8")).split(":")[1] ?? "";
  await writeFile(paths.clusterSecrets, unnamed);
  await writeFile(paths.sealKey, Buffer.concat([Buffer.alloc(32, 9), Buffer.alloc(32, 7)]));
  expect((await sealOf(nodes[0])).open(unnamed, context)).toBe(secrets);
  // A crash between the two files of a change leaves this.
  await createRing(paths).lead(sealKeyId(Buffer.alloc(32, 9)));
  expect(sealedWith(await readFile(paths.clusterSecrets, "utf8"))).toBe(sealKeyId(Buffer.alloc(32, 9)));
  expect((await sealOf(nodes[0])).open(await readFile(paths.clusterSecrets, "utf8"), context)).toBe(secrets);
});

test("what a key sealed that is not here says so, and can be tried again", () => {
  const sealed = createSeal(Buffer.alloc(32, 1)).seal("hidden", "place");
  const error = (() => {
    try {
      return createSeal(Buffer.alloc(32, 2)).open(sealed, "place");
    } catch (caught) {
      return caught;
    }
  })();
  expect(error).toMatchObject({
    kind: "unavailable",
    message: expect.stringContaining(sealKeyId(Buffer.alloc(32, 1))),
  });
});

test("a file of keys that is cut is refused", () => {
  for (const bytes of [0, 31, 33, 32 * 9]) expect(() => splitKeys(Buffer.alloc(bytes))).toThrow("keys of the seal");
});
