import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { expectClean, failedBootstrap } from "./attempt.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** A component that ends again and again is given up long before the timeout. */
const broken: readonly { readonly what: string; readonly config: string; readonly says: readonly string[] }[] = [
  {
    what: "kube-apiserver with a flag that it does not know",
    config: "extra-node-kube-apiserver-args: {--no-such-flag: x}",
    says: [
      "cannot start kube-apiserver: it ended 3 times",
      "unknown flag: --no-such-flag",
      "extra arguments of the configuration",
    ],
  },
  {
    what: "containerd with a configuration that it cannot read",
    config: "extra-node-containerd-config: {grpc: {max_recv_message_size: many}}",
    says: ["cannot start containerd: exit code 1", "MaxRecvMsgSize"],
  },
  {
    what: "containerd with a plugin that does not load",
    config: "extra-node-containerd-config: {plugins: {io.containerd.cri.v1.runtime: {max_container_log_line_size: x}}}",
    says: ["cannot start containerd: exit code 1", "MaxContainerLogLineSize"],
  },
  {
    what: "kubelet with a flag that it does not know",
    config: "extra-node-kubelet-args: {--no-such-flag: x}",
    says: ["cannot start kubelet: it ended", "unknown flag: --no-such-flag"],
  },
];

describe.skipIf(reason !== undefined)("bootstrap with a component that does not start", () => {
  let host: Host;
  let before: HostSnapshot;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests() });
    before = await host.snapshot();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  afterEach(({ task }) => {
    if (task.result?.state === "fail") host.markFailed();
  });

  test.each(broken)("$what: given up early with its own words, and taken back", async ({ config, says }) => {
    const { stderr, seconds } = await failedBootstrap(host, config);
    for (const text of says) expect(stderr).toContain(text);
    expect(seconds).toBeLessThan(45);
    await expectClean(host, before);
  });

  test("a kubelet that runs but is never healthy: named within the timeout", async () => {
    const { stderr, seconds } = await failedBootstrap(
      host,
      "extra-node-kubelet-args: {--healthz-bind-address: 192.0.2.1}",
      "40s",
    );
    expect(stderr).toContain("cannot finish bootstrap within 40 s");
    expect(stderr).toContain("kubelet");
    expect(seconds).toBeLessThan(70);
    await expectClean(host, before);
  });

  test("a timeout that is too short: says so, and what it was waiting for", async () => {
    const { stderr, seconds } = await failedBootstrap(host, undefined, "4s");
    expect(stderr).toContain("cannot finish bootstrap within 4 s");
    expect(stderr).toMatch(/while it was at "[A-Z].*"/);
    expect(stderr).toContain("--timeout");
    expect(seconds).toBeLessThan(30);
    await expectClean(host, before);
  });

  test("works on the same host after all of that", async () => {
    await bootstrap(host);
    await becomesReady(host);
  });
});
