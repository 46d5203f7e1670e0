import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootstrap } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { createPostgresNodes, type PostgresNodes } from "../postgres/nodes.ts";
import { fill, migratesUnderLoad } from "./engines.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** The goal for 10,000 keys on a machine with nothing else to do, which K8SD_STRICT_TIMES says that it is. */
const longestPauseMs = 3_000 * (process.env.K8SD_STRICT_TIMES === undefined ? 5 : 1);

describe.skipIf(reason !== undefined)("a datastore of 10,000 keys that moves", () => {
  let nodes: PostgresNodes;
  let host: Host;

  beforeAll(async () => {
    nodes = await createPostgresNodes(1, ["--agent-only"]);
    [host] = nodes.hosts as [Host];
    await bootstrap(host);
    await fill(host, 10_000);
  });
  afterAll(() => nodes?.[Symbol.asyncDispose]());

  test.each([
    ["sqlite", "etcd"],
    ["etcd", "sqlite"],
    ["sqlite", "external"],
    ["external", "etcd"],
    ["etcd", "external"],
    ["external", "sqlite"],
  ] as const)("from %s to %s pauses writes briefly", async (from, to) => {
    const given = to === "external" ? await nodes.config() : undefined;
    expect(await migratesUnderLoad(host, to, from, given)).toBeLessThan(longestPauseMs);
  });
});
