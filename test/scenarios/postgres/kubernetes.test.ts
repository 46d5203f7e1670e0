import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { joins, joinToken } from "../join/nodes.ts";
import { createPostgresNodes, type PostgresNodes } from "./nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const network = "cluster-config: { network: { enabled: true } }\n";

describe.skipIf(reason !== undefined)("Kubernetes on a PostgreSQL that somebody else runs", () => {
  let nodes: PostgresNodes;
  let [n1, n2]: readonly Host[] = [];
  const host = (known: Host | undefined): Host => {
    if (known === undefined) throw new Error("the host was not made");
    return known;
  };
  beforeAll(async () => {
    nodes = await createPostgresNodes(2, []);
    [n1, n2] = nodes.hosts;
  });
  afterAll(() => nodes?.[Symbol.asyncDispose]());
  afterEach(({ task }) => {
    if (task.result?.state === "fail") for (const each of nodes.hosts) each.markFailed();
  });

  test("runs with two control planes; what one API server writes the other one serves", async () => {
    await bootstrap(host(n1), `${await nodes.config()}${network}`);
    await becomesReady(host(n1), "180s");
    await joins(host(n2), "n2", await joinToken(host(n1), "n2"));
    for (const each of [n1, n2]) await becomesReady(host(each), "180s");
    await kubectl(host(n1), "create", "configmap", "kept", "--from-literal=a=b");
    const names = async () => kubectl(host(n2), "get", "configmaps", "-o", "name");
    await expect.poll(names, { timeout: 10_000 }).toContain("configmap/kept");
    expect(await kubectl(host(n2), "get", "nodes", "-o", "name")).toMatch(/node\/.*\nnode\/n2/);
  });

  test("an informer of one API server sees all that is written at the other one, also while PostgreSQL is killed", async () => {
    const watcher = host(n2).spawn(["k8s", "kubectl", "get", "configmaps", "--watch", "-o", "name", "-l", "seen"]);
    let seen = "";
    watcher.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
    });
    const create = async (name: string) => {
      await kubectl(host(n1), "create", "configmap", name);
      await kubectl(host(n1), "label", "configmap", name, "seen=yes");
    };
    await create("before");
    await expect.poll(() => seen, { timeout: 30_000 }).toContain("configmap/before");
    await nodes.postgres.crash();
    await expect
      .poll(
        () =>
          create("after").then(
            () => true,
            () => false,
          ),
        { timeout: 120_000 },
      )
      .toBe(true);
    await expect.poll(() => seen, { timeout: 60_000 }).toContain("configmap/after");
    watcher.kill();
    for (const each of [n1, n2]) await becomesReady(host(each), "180s");
    expect(await kubectl(host(n2), "get", "configmaps", "-o", "name")).toContain("configmap/kept");
  });
});
