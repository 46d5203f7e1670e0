import type { DatastoreView } from "./component.ts";

/** What users know it as: a server of ours over their database is an external datastore to them. */
export function datastoreKind({ engine }: DatastoreView): "sqlite" | "etcd" | "external" {
  return engine === "postgres" ? "external" : engine;
}
