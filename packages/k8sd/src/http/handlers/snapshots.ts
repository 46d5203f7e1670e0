import { answers, starts } from "../endpoint.ts";

export const snapshots = [
  answers("createSnapshotKey", ({ domain, signal }, request) => domain.snapshots.createKey(request, signal)),
  answers("listSnapshots", ({ domain }, { directory }) => domain.snapshots.list(directory)),
  starts("saveSnapshot", ({ domain, requestId }, { directory, keep, timeout }) =>
    domain.snapshots.save({ directory, keep, timeoutMs: Math.ceil(timeout / 1e6) }, { requestId }),
  ),
];
