import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootstrap } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { fill, migratesUnderLoad } from "./engines.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** The goal for 10,000 keys on a machine with nothing else to do, which K8SD_STRICT_TIMES says that it is. */
const longestPauseMs = 3_000 * (process.env.K8SD_STRICT_TIMES === undefined ? 5 : 1);

describe.skipIf(reason !== undefined)("a datastore of 10,000 keys that moves", () => {
  let host: Host;

  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"] });
    await bootstrap(host);
    await fill(host, 10_000);
  });
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  test.each(["etcd", "sqlite"] as const)("to %s pauses writes briefly", async (to) => {
    expect(await migratesUnderLoad(host, to)).toBeLessThan(longestPauseMs);
  });
});
