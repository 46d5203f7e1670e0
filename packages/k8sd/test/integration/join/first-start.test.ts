import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { firstStart } from "../../../src/cluster/join/first-start.ts";
import type { NodeView } from "../../../src/components/component.ts";
import { createPaths } from "../../../src/host/paths.ts";
import type { ServiceManager, ServiceSpec, ServiceStatus } from "../../../src/host/services.ts";
import type { StepContext } from "../../../src/operations/plan.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";
import {
  createTestCluster,
  etcdProgram,
  type TestCluster,
  type TestMember,
} from "../datastore/etcd-members-cluster.ts";

let cluster: TestCluster;
let folder: string;
let node: TestMember;
let notes: string[];
beforeEach(async () => {
  notes = [];
  folder = await mkdtemp(join(tmpdir(), "k8sd-first-start-"));
  cluster = await createTestCluster();
  node = await cluster.member("n4");
});
afterEach(async () => {
  await cluster[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** The node whose etcd is the cluster's test member: its data lie where the node's would. */
async function viewOf({ name, data, peerUrl }: TestMember): Promise<NodeView> {
  const { view } = aBootstrapInput({ kubernetes: false });
  const paths = createPaths({ root: folder, snap: join(folder, "snap"), snapCommon: join(folder, "common") });
  await mkdir(paths.etcd, { recursive: true });
  await symlink(data, join(paths.etcd, "data"));
  const initialCluster = { state: "existing", peers: {} } as const;
  const peerPort = Number(new URL(peerUrl).port);
  const datastore = { engine: "etcd", endpoints: [], clientPort: 2379, peerPort, initialCluster } as const;
  return { ...view, name, paths, addresses: ["127.0.0.1"], datastore };
}

/** Runs the test member with the members it was told; restarts nothing by itself. */
function servicesFor(member: TestMember, beforeStart: (attempt: number) => Promise<void>) {
  let spec: ServiceSpec | undefined;
  let starts = 0;
  let restarts = 0;
  let stopping = false;
  const services: Pick<ServiceManager, "apply" | "start" | "stop" | "status" | "logs"> = {
    apply: async (wanted) => {
      spec = wanted;
      return "changed";
    },
    start: async () => {
      starts += 1;
      await beforeStart(starts);
      const peers = spec?.args["--initial-cluster"]?.split(",").map((pair) => pair.split("=")) ?? [];
      member.start(Object.fromEntries(peers) as Record<string, string>, "existing");
      restarts = 0;
      const attempt = starts;
      void member.ended().then(() => {
        if (attempt === starts && !stopping) restarts = 10;
      });
    },
    stop: async () => {
      stopping = true;
      await member.kill();
      stopping = false;
    },
    status: async (): Promise<ServiceStatus> =>
      restarts === 0 ? { state: "running" } : { state: "failed", restarts, reason: "exit code 1" },
    logs: async () => ["member count is unequal"],
  };
  return { services, starts: () => starts };
}

const addLearner = () =>
  cluster.members.addLearner({ name: "n4", peerUrls: [node.peerUrl], fresh: true, ...cluster.call() });

const context = (): StepContext => ({
  signal: AbortSignal.timeout(50_000),
  progress: ({ note }) => void notes.push(note ?? ""),
  note: undefined,
  conclude: () => {},
  remember: () => {},
  add: () => {},
  added: () => ({}),
  commit: () => {},
  input: null,
  secret: undefined,
});

describe.skipIf(etcdProgram === undefined)("the first start of a new member of etcd", () => {
  test("is repeated by itself when another member went while it was told of it [A2]", async () => {
    await cluster.join("n2");
    await cluster.join("n3");
    const { id } = await addLearner();
    const { services, starts } = servicesFor(node, async (attempt) => {
      if (attempt > 1) return;
      const n3 = await cluster.member("n3");
      await n3.kill();
      await cluster.members.remove({ name: "n3" }, cluster.call());
    });
    await firstStart(await viewOf(node), context(), { services, members: cluster.members, id });
    expect(starts()).toBe(2);
    expect(notes).toContainEqual(expect.stringContaining("the cluster's members have changed"));
    const { members } = await cluster.members.list({ ...cluster.call(), settled: true });
    expect(members.map(({ name }) => name).sort()).toEqual(expect.arrayContaining(["n1", "n2"]));
    await cluster.members.awaitCaughtUp(id, cluster.call());
  });

  test("is repeated by itself when it began as a member that was removed [A2]", async () => {
    const before = await addLearner();
    const earlier = servicesFor(node, async () => {});
    const view = await viewOf(node);
    await firstStart(view, context(), { services: earlier.services, members: cluster.members, id: before.id });
    await node.kill();
    await cluster.members.remove({ id: before.id }, cluster.call());
    const { id } = await addLearner();
    expect(id).not.toBe(before.id);
    const { services, starts } = servicesFor(node, async () => {});
    await firstStart(view, context(), { services, members: cluster.members, id });
    expect(starts()).toBe(2);
    expect(notes).toContainEqual(expect.stringContaining("took itself for a member that was removed"));
    await cluster.members.awaitCaughtUp(id, cluster.call());
  });

  test("that can never work is given up with what etcd says", async () => {
    const { id } = await addLearner();
    const broken = servicesFor(node, async () => {});
    const services = {
      ...broken.services,
      start: async () => {},
      status: async () => ({ state: "failed", restarts: 9 }) as const,
    };
    const failing = firstStart(await viewOf(node), context(), { services, members: cluster.members, id });
    await expect(failing).rejects.toThrow("its last lines: member count is unequal");
  });

  test("of one whose membership was taken back says so", async () => {
    const { services, starts } = servicesFor(node, async () => {});
    const failing = firstStart(await viewOf(node), context(), { services, members: cluster.members, id: 1n });
    await expect(failing).rejects.toMatchObject({
      kind: "not-found",
      remedy: "Join again: the membership was taken back.",
    });
    expect(starts()).toBe(0);
  });
});
