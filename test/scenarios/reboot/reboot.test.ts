import { describe, expect, test } from "vitest";
import { becomesReady, bootstrap, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a node that is switched off", () => {
  test("is the same node when it is on again, after an orderly end and after a power cut", async () => {
    await using host = await createNode({ staged: await stagedForTests() });
    await bootstrap(host);
    await becomesReady(host);
    await kubectl(host, "create", "configmap", "kept", "--from-literal=of=before");
    const uid = await kubectl(host, "get", "node", host.name, "-o", "jsonpath={.metadata.uid}");

    await host.powerOff();
    await host.boot();
    await becomesReady(host);
    await host.cutPower();
    await host.boot();
    await becomesReady(host);

    expect(await kubectl(host, "get", "configmap", "kept", "-o", "jsonpath={.data.of}")).toBe("before");
    expect(await kubectl(host, "get", "node", host.name, "-o", "jsonpath={.metadata.uid}")).toBe(uid);
  });
});
