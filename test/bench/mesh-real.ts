import { execFile } from "node:child_process";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Mesh } from "@k8sd/k8sd/mesh/mesh.ts";
import { until } from "../hosts/until.ts";
import { type Figure, figure } from "./result.ts";

const count = 5;
const deadlineMs = 30_000;
const settled = { what: "the mesh to settle", timeoutMs: deadlineMs, everyMs: 5 };

/** Five nodes with libp2p in one process, which is started for it: its memory is what is measured. */
export async function realMesh(): Promise<readonly Figure[]> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--conditions=source", "--expose-gc", fileURLToPath(import.meta.url)],
    { timeout: 2 * deadlineMs },
  );
  const { bareMiB, oneMiB, allMiB, joinMs, detectMs, spreadMs } = JSON.parse(stdout) as Measured;
  return [
    figure(`${count} real nodes: start until all know all`, joinMs / 1000, "s"),
    figure(`${count} real nodes: detection of one that hangs up without a word`, detectMs / 1000, "s"),
    figure(`${count} real nodes: ledger change on all`, spreadMs, "ms"),
    figure("resident memory that the first mesh adds to a process, not bundled", oneMiB - bareMiB, "MiB"),
    figure("resident memory of each further mesh, connected", (allMiB - oneMiB) / (count - 1), "MiB"),
  ];
}

interface Measured {
  readonly bareMiB: number;
  readonly oneMiB: number;
  readonly allMiB: number;
  readonly joinMs: number;
  readonly detectMs: number;
  readonly spreadMs: number;
}

async function measure(): Promise<Measured> {
  const bareMiB = residentMiB();
  const { createMesh } = await import("@k8sd/k8sd/mesh/mesh.ts");
  const { meshIdentity } = await import("@k8sd/k8sd/mesh/identity.ts");
  const { createNodeKey } = await import("@k8sd/k8sd/cluster/node-key.ts");
  const start = async (index: number) => {
    const id = randomUUID();
    const nodeKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const mesh = createMesh(
      { self: id, clusterId: "bench", hosts: ["127.0.0.1"], port: 0 },
      {
        nodeKey,
        certificate: createNodeKey(nodeKey).meshCertificate(new Date()),
        store: { load: () => undefined, save: () => {} },
        peers: { load: () => [], save: () => {} },
      },
    );
    await mesh.start();
    const member = { id, peerId: meshIdentity(nodeKey).peerId, author: index === 0 };
    return { id, mesh, member: { ...member, addresses: [`127.0.0.1:${mesh.port}`] } };
  };
  const nodes = [await start(0)];
  const oneMiB = residentMiB();
  const began = performance.now();
  nodes.push(...(await Promise.all(Array.from({ length: count - 1 }, (_, index) => start(index + 1)))));
  for (const { mesh } of nodes) mesh.setMembers(nodes.map(({ member }) => member));
  const states = (mesh: Mesh): string[] => [...mesh.view().values()].map(({ state }) => state);
  await until(() => nodes.every(({ mesh }) => states(mesh).every((state) => state === "alive")), settled);
  const joinMs = performance.now() - began;
  const published = performance.now();
  nodes[0]?.mesh.publish({ epoch: 1, revision: 1, records: [{ key: "members/1", value: "one", revision: 1 }] });
  await until(() => nodes.every(({ mesh }) => mesh.replica.head.revision === 1), settled);
  const spreadMs = performance.now() - published;
  const allMiB = residentMiB();
  const gone = nodes.pop();
  const stopped = performance.now();
  await gone?.mesh.stop();
  await until(() => nodes.every(({ mesh }) => mesh.view().get(gone?.id ?? "")?.state === "dead"), settled);
  const detectMs = performance.now() - stopped;
  await Promise.all(nodes.map(({ mesh }) => mesh.stop()));
  return { bareMiB, oneMiB, allMiB, joinMs, detectMs, spreadMs };
}

function residentMiB(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss() / 2 ** 20;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(JSON.stringify(await measure()));
