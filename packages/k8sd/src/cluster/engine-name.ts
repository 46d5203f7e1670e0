import type { DatastoreReport } from "@k8sd/api-types";
import { datastoreKind } from "../components/datastore-kind.ts";
import type { BootstrapInput } from "./bootstrap/plan.ts";

/** A worker has no part in the datastore; which one it is the cluster's configuration says. */
export function engineName({ view, config }: Pick<BootstrapInput, "view" | "config">): DatastoreReport["engine"] {
  if (view.role !== "worker") return datastoreKind(view.datastore);
  return (config.datastore.type ?? "sqlite") as DatastoreReport["engine"];
}
