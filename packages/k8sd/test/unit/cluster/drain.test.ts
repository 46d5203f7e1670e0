import { expect, test } from "vitest";
import { drain } from "../../../src/cluster/remove/drain.ts";
import type { KubeClient } from "../../../src/kube/kube-client.ts";
import type { Pod } from "../../../src/kube/resources.ts";

/** Drains a node whose Pods are these, one list after the other; the last one stands. */
async function drainOf(lists: Pod[][], timeoutMs = 20_000) {
  const evicted: string[] = [];
  let asked = 0;
  const kube = {
    get: async () => ({ status: { conditions: [{ type: "Ready", status: "True" }] } }),
    patch: async () => {},
    list: async () => ({ items: lists[Math.min(asked++, lists.length - 1)] }),
    evict: async ({ name }: { name: string }) => void evicted.push(name),
  } as unknown as KubeClient;
  const signal = AbortSignal.timeout(30_000);
  const left = await drain(kube, { name: "w1", signal, timeoutMs, progress: () => {} });
  return { left, evicted, asked };
}

const pod = (name: string, phase: string, more: Pod["metadata"] = {}): Pod => ({
  metadata: { name, namespace: "default", ...more },
  status: { phase },
});

test("a drain waits for Pods until their kubelet has let them go, not only until their programs have ended", async () => {
  const ending = { deletionTimestamp: "2026-01-01T00:00:00Z" };
  const seen = await drainOf([[pod("web", "Running")], [pod("web", "Succeeded", ending)], []]);
  expect(seen).toMatchObject({ left: [], asked: 3 });
});

test("a drain leaves what has ended by itself and what belongs to the node where it is", async () => {
  const ofTheNode = { ownerReferences: [{ kind: "DaemonSet", name: "proxy" }] };
  const pods = [pod("job", "Succeeded"), pod("lost", "Failed"), pod("proxy", "Running", ofTheNode)];
  expect(await drainOf([pods])).toEqual({ left: [], evicted: [], asked: 1 });
});

test("a drain that takes too long names the Pods that are left", async () => {
  expect(await drainOf([[pod("stuck", "Running")]], 0)).toMatchObject({ left: ["stuck"] });
});
