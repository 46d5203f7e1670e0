import type { Condition } from "@k8sd/api-types";
import { wantedComponents } from "../components/wanted.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { ifTold, revisionSeen } from "../datastore/told.ts";
import type { ServiceManager } from "../host/services.ts";
import type { KubeClient } from "../kube/kube-client.ts";
import { nodes } from "../kube/resources.ts";
import { errorText } from "../lib/app-error.ts";
import { withDeadline } from "../lib/wait.ts";
import type { BootstrapInput } from "./bootstrap/plan.ts";
import { serviceStages } from "./bootstrap/plan.ts";
import type { Notice } from "./notices.ts";

export interface ConditionDeps {
  readonly services: Pick<ServiceManager, "statuses">;
  /** Of a control plane. */
  readonly datastore: (() => Promise<Pick<Datastore, "status" | "range">>) | undefined;
  /** Of a worker: when a control plane last told it who is in. */
  readonly heardAt: () => number | undefined;
  readonly kube: (() => Promise<KubeClient>) | undefined;
  /** A move of the cluster's data that is under way here. */
  readonly moving: () => Notice | undefined;
  readonly now: () => number;
}

/** Whoever asks for the status wants an answer, also from a node whose parts hang. */
const observeMs = 1_500;

interface Observation {
  readonly ok: boolean;
  readonly reason: string;
  readonly message: string;
}

/** Every reason for a node to be ready or not, each observed now, all at once. Ready is their conjunction. */
export async function observeConditions(
  input: BootstrapInput,
  deps: ConditionDeps,
  signal: AbortSignal,
): Promise<readonly Condition[]> {
  const { kube, datastore } = deps;
  // What waits for a datastore that cannot decide anything waits in vain.
  const noQuorum = new AbortController();
  const observers: Record<string, (signal: AbortSignal) => Promise<Observation>> = {
    ServicesRunning: (abort) => observeServices(input, deps.services, abort),
    ...(datastore === undefined
      ? { ControlPlaneAnswers: async () => observeControlPlane(deps) }
      : {
          DatastoreAnswers: async (abort: AbortSignal) => {
            const seen = await observeDatastore(datastore, abort).catch((error: unknown) => {
              const notice = deps.moving();
              if (notice !== undefined) return { ok: false, ...notice };
              throw error;
            });
            if (seen.reason === "NoQuorum") noQuorum.abort(new Error("the datastore has no quorum"));
            return seen;
          },
        }),
    ...(kube === undefined
      ? {}
      : {
          APIServerReady: async (abort: AbortSignal) => observeApiServer(await kube(), abort),
          NodeReady: async (abort: AbortSignal) => observeNode(input.view.name, await kube(), abort),
        }),
  };
  return Promise.all(
    Object.entries(observers).map(async ([name, observe]) => {
      const seen = await observe(withDeadline(AbortSignal.any([signal, noQuorum.signal]), observeMs)).catch(
        (error: unknown): Observation => ({ ok: false, reason: "NoAnswer", message: errorText(error) }),
      );
      return { name, ...seen, "observed-at": new Date(deps.now()).toISOString() };
    }),
  );
}

async function observeServices(
  input: BootstrapInput,
  services: Pick<ServiceManager, "statuses">,
  signal: AbortSignal,
): Promise<Observation> {
  const staged = serviceStages(input).flat();
  const names = wantedComponents(input.view).flatMap(({ name }) => (staged.includes(name) ? [name] : []));
  const statuses = await services.statuses(names, signal);
  const down = statuses
    .map((status, index) => ({ ...status, name: names[index] ?? "" }))
    .filter(({ state }) => state !== "running");
  if (down.length === 0) return { ok: true, reason: "AllRunning", message: `${names.length} services run` };
  const list = down.map(
    ({ name, state, reason }) => `${name} is ${state}${reason === undefined ? "" : ` (${reason})`}`,
  );
  return { ok: false, reason: "NotRunning", message: list.join(", ") };
}

async function observeDatastore(
  datastore: () => Promise<Pick<Datastore, "status" | "range">>,
  signal: AbortSignal,
): Promise<Observation> {
  const store = await datastore();
  const told = await ifTold(store.status({ signal }));
  if (told === undefined) {
    const revision = await revisionSeen(store, signal);
    return { ok: true, reason: "Answered", message: `it answers (revision ${revision})` };
  }
  const { version, leader } = told;
  // It answers this alone too, but it neither reads nor writes then.
  if (leader === 0n) {
    const message = "it has no leader: too few control planes reach each other; see 'k8s recover' if they are lost";
    return { ok: false, reason: "NoQuorum", message };
  }
  return { ok: true, reason: "Answered", message: `it answers (etcd API ${version})` };
}

/** A worker asks every few seconds. */
const silentMs = 30_000;

function observeControlPlane({ heardAt, now }: Pick<ConditionDeps, "heardAt" | "now">): Observation {
  const at = heardAt();
  if (at === undefined) return { ok: false, reason: "NotHeardYet", message: "none has answered since the start" };
  const seconds = Math.round((now() - at) / 1000);
  if (now() - at <= silentMs) return { ok: true, reason: "Answered", message: `one answered ${seconds} s ago` };
  return { ok: false, reason: "NoAnswer", message: `none has answered for ${seconds} s` };
}

async function observeApiServer(kube: KubeClient, signal: AbortSignal): Promise<Observation> {
  await kube.raw("/readyz", { signal });
  return { ok: true, reason: "Answered", message: "/readyz is ok" };
}

async function observeNode(name: string, kube: KubeClient, signal: AbortSignal): Promise<Observation> {
  const node = await kube.get(nodes, { name }, { signal });
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  if (ready?.status === "True") return { ok: true, reason: "KubeletReady", message: `node ${name} is Ready` };
  return {
    ok: false,
    reason: ready?.reason ?? "NotRegistered",
    message: `node ${name} is not Ready: ${ready?.message ?? "its kubelet has not reported yet"}`,
  };
}
