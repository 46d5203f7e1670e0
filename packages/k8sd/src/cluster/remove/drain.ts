import type { KubeClient } from "../../kube/kube-client.ts";
import { nodes, type Pod, pods } from "../../kube/resources.ts";
import { AppError, isKind } from "../../lib/app-error.ts";
import { sleep } from "../../lib/wait.ts";

export interface DrainOptions {
  readonly name: string;
  readonly signal: AbortSignal;
  /** For the Pods to be gone. */
  readonly timeoutMs: number;
  readonly progress: (progress: { readonly done: number; readonly of: number; readonly note?: string }) => void;
}

const intervalMs = 1_000;

/**
 * No new Pods come to the node, and those that are there are asked to go elsewhere, as their disruption budgets allow. What
 * belongs to the node itself (DaemonSets, static Pods) stays. A node whose kubelet is gone is cordoned and no more: nothing
 * on it would answer. @returns names of the Pods that were still there when the time was over
 */
export async function drain(kube: KubeClient, options: DrainOptions): Promise<readonly string[]> {
  const { name, signal } = options;
  const node = await kube.get(nodes, { name }, { signal }).catch(orMissing);
  if (node === undefined) return [];
  await kube.patch(nodes, { name }, { spec: { unschedulable: true } }, { signal });
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
  if (ready?.status !== "True") return [];
  const begun = performance.now();
  let most = 0;
  for (;;) {
    const left = await evictable(kube, name, signal);
    most = Math.max(most, left.length);
    options.progress({ done: most - left.length, of: most, note: left[0]?.metadata?.name ?? "no Pods are left" });
    if (left.length === 0) return [];
    if (performance.now() - begun > options.timeoutMs) return left.map(({ metadata }) => metadata?.name ?? "");
    await Promise.all(left.map((pod) => evict(kube, pod, signal)));
    await sleep(intervalMs, signal);
  }
}

async function evictable(kube: KubeClient, nodeName: string, signal: AbortSignal): Promise<readonly Pod[]> {
  const { items } = await kube.list(pods, { fieldSelector: `spec.nodeName=${nodeName}`, signal });
  return items.filter(({ metadata, status }) => {
    // One that is being deleted is so until its kubelet says that it has gone, which a removed node's cannot.
    const over =
      metadata?.deletionTimestamp === undefined && (status?.phase === "Succeeded" || status?.phase === "Failed");
    const ofTheNode = metadata?.ownerReferences?.some(({ kind }) => kind === "DaemonSet" || kind === "Node") ?? false;
    return !over && !ofTheNode;
  });
}

async function evict(kube: KubeClient, { metadata }: Pod, signal: AbortSignal): Promise<void> {
  const { name = "", namespace = "" } = metadata ?? {};
  try {
    await kube.evict({ namespace, name }, { signal });
  } catch (error) {
    signal.throwIfAborted();
    // A budget or a webhook that does not allow it now may in a second, a Pod that is gone is what was wanted; and whatever
    // it is, the drain's time is the limit.
    if (!(error instanceof AppError)) throw error;
  }
}

function orMissing(error: unknown): undefined {
  if (isKind(error, "not-found")) return undefined;
  throw error;
}
