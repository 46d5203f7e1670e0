import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** Where a real etcd or etcdctl is: the folder in K8SD_TEST_ETCD, else the PATH; undefined when there is none. */
export function findProgram(name: "etcd" | "etcdctl"): string | undefined {
  const folders = [process.env.K8SD_TEST_ETCD ?? "", ...(process.env.PATH ?? "").split(":")];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
