import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { createNetwork, type Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, etcdMembers, joins, joinToken } from "./nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const kubernetesConfig = `${etcdConfig}cluster-config:\n  network:\n    enabled: true\n`;

describe.skipIf(reason !== undefined)("a second control plane with Kubernetes", () => {
  let network: Network;
  let founder: Host;
  let second: Host;

  beforeAll(async () => {
    network = await createNetwork();
    const staged = await stagedForTests();
    [founder, second] = await Promise.all([createNode({ staged, network }), createNode({ staged, network })]);
    await bootstrap(founder, kubernetesConfig);
    await becomesReady(founder);
  });
  afterAll(async () => {
    await second?.[Symbol.asyncDispose]();
    await founder?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  test("serves the API like the first, with the same keys", async () => {
    await joins(second, "c2", await joinToken(founder, "c2"));
    await becomesReady(second, "120s");
    expect(await etcdMembers(second)).toEqual({ [founder.name]: "voter", c2: "voter" });
    for (const host of [founder, second]) {
      await kubectl(host, "wait", "node", founder.name, "c2", "--for=condition=Ready", "--timeout=120s");
    }
    const token = (await kubectl(founder, "create", "token", "default")).trim();
    const answer = await second.run(
      ...["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H", `Authorization: Bearer ${token}`],
      `https://${second.address}:6443/api`,
    );
    expect(answer.stdout).toBe("200");
    await expectAgreement([founder, second]);
  });
});
