import type { RestorePlanRequest } from "@k8sd/api-types";
import { cleanHostname } from "../../cluster/config/hostname.ts";
import { toMs } from "../duration.ts";
import { answers, starts } from "../endpoint.ts";
import { orBadRequest } from "../errors.ts";

export const snapshots = [
  answers("createSnapshotKey", ({ domain, signal }, request) => domain.snapshots.createKey(request, signal)),
  answers("listSnapshots", ({ domain, signal }, request) => domain.snapshots.list(request, signal)),
  starts("saveSnapshot", ({ domain, requestId }, { timeout, ...order }) =>
    domain.snapshots.save({ ...order, timeoutMs: toMs(timeout) }, { requestId }),
  ),
  starts("fetchSnapshot", ({ domain, requestId }, { timeout, ...order }) =>
    domain.snapshots.fetch({ ...order, timeoutMs: toMs(timeout) }, { requestId }),
  ),
  answers("snapshotStore", ({ domain, signal }) => domain.snapshots.store(signal)),
  answers("setSnapshotStore", async ({ domain, signal }, request) => {
    await domain.snapshots.setStore(request, signal);
    return {};
  }),
  answers("snapshotSchedule", ({ domain, signal }) => domain.snapshots.schedule(signal)),
  answers("setSnapshotSchedule", async ({ domain, signal }, request) => {
    await domain.snapshots.setSchedule(request, signal);
    return {};
  }),
  answers("planRestore", ({ domain, signal }, request) =>
    domain.snapshots.planRestore({ ...toOrder(request), force: false, timeoutMs: 0 }, signal),
  ),
  starts("restoreSnapshot", ({ domain, requestId }, { force, timeout, ...request }) =>
    domain.snapshots.restore({ ...toOrder(request), force, timeoutMs: toMs(timeout) }, { requestId }),
  ),
];

/** A control plane of the cluster keeps its name. */
function toOrder({ name, ...request }: RestorePlanRequest): RestorePlanRequest {
  return { ...request, name: name === "" ? "" : orBadRequest(() => cleanHostname(name)) };
}
