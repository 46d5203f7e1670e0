import { planRestore } from "@k8sd/k8sd/cluster/snapshot/restore-plan.ts";
import { planSave } from "@k8sd/k8sd/cluster/snapshot/save-plan.ts";
import { describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../packages/k8sd/test/support/bootstrap-input.ts";
import { becomesReady, bootstrap, k8s } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import { createNode } from "../node.ts";
import { epochOf } from "../scenarios/recover/three.ts";
import { put, read } from "../scenarios/snapshot/keys.ts";
import { stagedForTests } from "../stage.ts";
import { createFaultPoints, faultEnvironment } from "./points.ts";
import { createShared } from "./shared.ts";
import { everything, hit, interrupted, type Victim, victims } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** `npm test` kills the daemon around the point of no return; `pnpm test:faults` in each step, and cuts the power too. */
const around = ["try-restore", "load-snapshot", "begin-epoch"];

const casesOf = (steps: readonly { readonly kind: string }[]) =>
  victims.flatMap((victim) =>
    steps.flatMap(({ kind }, step) => (everything || around.includes(kind) ? [{ kind, step, victim }] : [])),
  );

const save = planSave({ id: "", directory: "", store: false, name: "", createdAt: 0, keep: 0 }, "generated");
const input = aBootstrapInput({ kubernetes: false });
const recovery = { id: "", by: "", term: 0, index: 0, at: 0 };
const facts = { path: "", revision: 0, epoch: 2, recovery, podSubnetIndex: 0 };
const restore = planRestore(
  { nodeId: "", clusterId: "", before: input, after: input, facts, backup: "" },
  {},
  "generated",
);

const folder = "/var/snap/k8s/common/snapshots";
const keyFile = "/root/snapshots.key";
const engines = everything ? (["sqlite", "etcd"] as const) : (["sqlite"] as const);

describe.skipIf(reason !== undefined).each(engines)("a snapshot of %s, interrupted", (engine) => {
  const shared = createShared(async () => {
    await using stack = new AsyncDisposableStack();
    const staged = await stagedForTests();
    const host = stack.use(await createNode({ staged, flags: ["--agent-only"], env: faultEnvironment }));
    await bootstrap(host, `datastore-type: ${engine}\n`);
    await put(host, "kept", "value");
    expect((await k8s(host, ["snapshot", "key", "--out", keyFile])).exitCode).toBe(0);
    const { stdout } = await k8s(host, ["snapshot", "save", "--output-format", "json"]);
    const saved = (JSON.parse(stdout) as { path: string }).path;
    const owned = stack.move();
    const points = createFaultPoints(host);
    return { host, hosts: [host], points, saved, epoch: 1, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  });

  const files = async (): Promise<readonly string[]> => {
    const { stdout } = await shared().host.run(
      "sh",
      "-c",
      `ls -A ${folder}; ls -d /var/snap/k8s/common/var/lib/k8sd/state/*trial* || :`,
    );
    return stdout.trim().split("\n").sort();
  };

  async function interrupt(argv: readonly string[], step: number, victim: Victim): Promise<void> {
    const { host, points } = shared();
    await interrupted({ host, points, step, run: () => k8s(host, argv), fault: () => hit(host, victim) });
    await becomesReady(host);
  }

  test.each(casesOf(save.steps))("saved, in $kind by killing $victim, is there or leaves nothing", async (one) => {
    const before = await files();
    await interrupt(["snapshot", "save", "--keep", "2"], one.step, one.victim);
    const after = await files();
    if (one.step < save.commit) expect(after).toEqual(before);
    else expect(after.filter((name) => !before.includes(name)).length).toBe(1);
    expect(after.filter((name) => !name.endsWith(".k8s-snapshot"))).toEqual([]);
    // What `--keep` took is made again.
    shared().saved = `${folder}/${after[0]}`;
  });

  test.each(casesOf(restore.steps))("restored, in $kind by killing $victim, is there or is taken back", async (one) => {
    const { host, saved } = shared();
    await put(host, "later", "given up");
    await interrupt(["snapshot", "restore", saved, "--key-file", keyFile, "--yes"], one.step, one.victim);
    const done = one.step >= restore.commit;
    if (done) shared().epoch += 1;
    const { epoch } = shared();
    expect(await epochOf(host)).toBe(epoch);
    expect([await read(host, "kept"), await read(host, "later")]).toEqual(["value", done ? "" : "given up"]);
    const { stdout } = await host.run(
      "sh",
      "-c",
      "cd /var/snap/k8s/common/var/lib && ls -d *.before-epoch-* etcd/before-* || :",
    );
    expect(stdout.trim().split("\n").filter(Boolean).length).toBe(epoch - 1);
  });
});
