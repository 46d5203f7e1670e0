import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createMoves, type MovesDeps } from "../../../src/cluster/address/moves.ts";
import { nodeIdOf } from "../../../src/cluster/node-key.ts";
import { createPaths } from "../../../src/host/paths.ts";
import { temporaryFolder } from "../datastore/support/engine-process.ts";
import { keyPair } from "../http/fixtures.ts";
import { aClaim, anOrder, type ControlPlane, createTestCluster, root, signal, type TestCluster } from "./support.ts";

let cluster: TestCluster;
let one: ControlPlane;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  cluster = await createTestCluster();
  one = cluster.controlPlane();
  folder = await temporaryFolder();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function movesOf() {
  const paths = createPaths({ root: folder.path, snap: folder.path, snapCommon: folder.path });
  await mkdir(paths.pki, { recursive: true });
  await writeFile(join(paths.pki, "apiserver.crt"), keyPair("kubernetes").cert);
  const connections = () => ({ datastore: async () => one.datastore });
  return createMoves({ paths, connections, audit: one.audit, now: cluster.now } as unknown as MovesDeps);
}

async function aWorker(name: string, address: string) {
  const key = Buffer.from(name.padEnd(32, ".")).toString("hex");
  const { secret } = await one.tokens.create(anOrder(), root, signal());
  const at = { addresses: [address], k8sdAddress: `${address}:6400` };
  const claim = aClaim(secret, name, { nodeId: nodeIdOf(key), publicKeyFingerprint: key, ...at });
  const { member } = await one.admission.reserve(claim, signal());
  await one.admission.begin(member.id, signal());
  await one.admission.commit(member.id, signal());
  return { id: member.id, key };
}

describe("workers whose addresses have changed", () => {
  test("[F40] take each other's where they call from them: who calls from an address has it", async () => {
    const moves = await movesOf();
    const a = await aWorker("a", "10.0.0.11");
    const b = await aWorker("b", "10.0.0.12");
    const move = (key: string, address: string, source: string) =>
      moves.move({ addresses: [address], "k8sd-address": `${address}:6400`, requests: {} }, { key, source }, signal());
    await expect(move(a.key, "10.0.0.12", "10.0.0.99")).rejects.toMatchObject({
      message: "cannot take the address of b",
      remedy: expect.stringContaining("'k8s remove-node b'"),
    });
    await move(a.key, "10.0.0.12", "10.0.0.12");
    await move(b.key, "10.0.0.11", "::ffff:10.0.0.11");
    expect(await one.ledger.member(a.id, signal())).toMatchObject({ addresses: ["10.0.0.12"] });
    expect(await one.ledger.member(b.id, signal())).toMatchObject({ addresses: ["10.0.0.11"] });
  });
});
