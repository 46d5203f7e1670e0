import { answers, starts } from "../endpoint.ts";

export const datastore = [
  answers("datastoreStatus", ({ domain, signal }) => domain.migration.report(signal)),
  starts("migrateDatastore", ({ domain, requestId }, { to, "datastore-servers": servers, timeout }) =>
    domain.migration.migrate({ to, servers, timeoutMs: Math.ceil(timeout / 1e6) }, { requestId }),
  ),
  answers("rotateSealKey", ({ domain, caller, signal }) => domain.sealKey.rotate(caller, signal)),
  answers("sealKeys", ({ domain, caller }) => domain.sealKey.keysFor(caller)),
];
