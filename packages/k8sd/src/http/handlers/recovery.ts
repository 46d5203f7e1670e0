import { toMs } from "../duration.ts";
import { answers, starts } from "../endpoint.ts";

export const recovery = [
  answers("datastoreCopy", ({ domain, signal }) => domain.recovery.copy(signal)),
  answers("clusterEpoch", async ({ domain }) => domain.recovery.epoch()),
  answers("recoveryPlan", ({ domain, signal }) => domain.recovery.plan(signal)),
  starts("recover", ({ domain, requestId, caller }, { force, timeout }) =>
    domain.recovery.recover({ force, timeoutMs: toMs(timeout) }, { requestId, caller }),
  ),
];
