import { toMs } from "../duration.ts";
import { answers, answersText, starts } from "../endpoint.ts";

export const datastore = [
  answersText("metrics", "text/plain; version=0.0.4; charset=utf-8", ({ domain, signal }) =>
    domain.migration.metrics(signal),
  ),
  answers("datastoreStatus", ({ domain, signal }) => domain.migration.report(signal)),
  starts("migrateDatastore", ({ domain, requestId }, { to, "datastore-servers": servers, timeout, ...pems }) =>
    domain.migration.migrate({ to, servers, pems, timeoutMs: toMs(timeout) }, { requestId }),
  ),
  answers("rotateSealKey", ({ domain, caller, signal }) => domain.sealKey.rotate(caller, signal)),
  answers("sealKeys", ({ domain, caller }) => domain.sealKey.keysFor(caller)),
];
