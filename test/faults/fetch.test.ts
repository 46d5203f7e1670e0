import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { planFetch } from "@k8sd/k8sd/cluster/snapshot/fetch-plan.ts";
import { describe, expect, test } from "vitest";
import { bootstrap, k8s } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import { createNode, createNodeNetwork } from "../node.ts";
import { accessKeyId, secretAccessKey } from "../scenarios/snapshot/s3-server.ts";
import { stagedForTests } from "../stage.ts";
import { createFaultPoints, faultEnvironment } from "./points.ts";
import { createShared } from "./shared.ts";
import { hit, interrupted, victims } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const { steps, commit } = planFetch({ directory: "", name: "" }, "generated");
const cases = steps.flatMap(({ kind }, step) => victims.map((victim) => ({ kind, step, victim })));

const folder = "/var/snap/k8s/common/snapshots";
const credentialsFile = "/root/credentials";

describe.skipIf(reason !== undefined)("a snapshot that a machine without a cluster fetches from a store", () => {
  const shared = createShared(async () => {
    await using stack = new AsyncDisposableStack();
    const staged = await stagedForTests();
    const network = stack.use(await createNodeNetwork(staged));
    const common = { staged, network, flags: ["--agent-only"] };
    const keeper = stack.use(await createNode({ ...common, name: "keeper" }));
    const host = stack.use(await createNode({ ...common, name: "fetcher", env: faultEnvironment }));
    await copyFile(
      join(import.meta.dirname, "../scenarios/snapshot/s3-server.ts"),
      join(keeper.root, "root/s3-server.ts"),
    );
    keeper.spawn(["/snap/k8s/current/bin/node", "/root/s3-server.ts", "9000", "backups", "0.0.0.0"]);
    const url = `http://${keeper.address}:9000`;
    await host.run("curl", "-s", "--retry", "60", "--retry-connrefused", "--retry-delay", "1", url);
    const store = ["--url", url, "--bucket", "backups", "--credentials", credentialsFile];
    const credentials = `aws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    for (const each of [keeper, host]) await each.writeFile(credentialsFile, credentials, 0o600);
    await bootstrap(keeper);
    expect(await k8s(keeper, ["snapshot", "key", "--out", "/root/key"])).toMatchObject({ exitCode: 0 });
    expect(await k8s(keeper, ["snapshot", "store", ...store])).toMatchObject({ exitCode: 0 });
    const saved = await k8s(keeper, ["snapshot", "save", "--store", "--output-format", "json"]);
    const { name } = JSON.parse(saved.stdout) as { name: string };
    const fetch = ["snapshot", "fetch", name, ...store];
    expect(await k8s(host, fetch)).toMatchObject({ exitCode: 0 });
    const { stdout: content } = await host.run("sha256sum", `${folder}/${name}`);
    const owned = stack.move();
    const points = createFaultPoints(host);
    const hosts = [keeper, host];
    return { host, hosts, points, name, fetch, content, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  });

  const namesIn = async (...argv: readonly string[]): Promise<readonly string[]> =>
    (await shared().host.run("ls", ...argv, folder)).stdout.split("\n").filter(Boolean);

  test.each(cases)(
    "in $kind by killing $victim, is there or hidden, and whole at the next try",
    async ({ step, victim }) => {
      const { host, points, name, fetch, content } = shared();
      await host.run("sh", "-c", `rm -rf ${folder}/* ${folder}/.*.part`);
      await interrupted({ host, points, step, run: () => k8s(host, fetch), fault: () => hit(host, victim) });
      expect(await namesIn()).toEqual(step >= commit ? [name] : []);

      const again = await k8s(host, fetch);
      expect([again.exitCode, again.stderr]).toEqual([0, expect.anything()]);
      expect(await namesIn("-A")).toEqual([name]);
      expect((await host.run("sha256sum", `${folder}/${name}`)).stdout).toBe(content);
    },
  );
});
