import { join } from "node:path";
import { parse, stringify } from "yaml";

import { readTextOrEmpty } from "../lib/read-file.ts";
import { writeFileAtomic } from "../lib/write-file.ts";
import { joinCommand } from "./command-line.ts";
import type { Paths } from "./paths.ts";
import { type LayerServiceText, parseLayer } from "./pebble-layer.ts";
import type { ServiceSpec } from "./services.ts";

/** Ours comes first, so that layers of the user's can change what it says. */
const fileName = "001-k8s.yaml";

/** Changes our layer; true when that changed its text. Callers take turns. */
export async function editOwnLayer(
  directory: string,
  edit: (services: Map<string, LayerServiceText>) => void,
): Promise<boolean> {
  const path = join(directory, fileName);
  const before = await readTextOrEmpty(path);
  parseLayer(path, before);
  const written = (parse(before) ?? {}) as { services?: Record<string, LayerServiceText> };
  const services = new Map(Object.entries(written.services ?? {}));
  edit(services);
  const after = stringify({
    summary: "Services of the Kubernetes node, written by k8sd",
    services: Object.fromEntries(services),
  });
  if (after === before) return false;
  await writeFileAtomic({ path, content: after, mode: 0o600 });
  return true;
}

/** The entry of a service. Its arguments are in its argument file, as under every other manager. */
export function renderLayerService(
  spec: ServiceSpec,
  paths: Pick<Paths, "runService" | "snap" | "snapCommon">,
  startup: "enabled" | "disabled",
): LayerServiceText {
  return {
    override: "replace",
    summary: spec.description,
    startup,
    command: joinCommand([paths.runService, spec.name, spec.program]),
    after: [...spec.after],
    environment: { SNAP: paths.snap, SNAP_COMMON: paths.snapCommon },
    "on-success": "restart",
    "on-failure": "restart",
    "kill-delay": `${spec.stopTimeoutSeconds}s`,
  };
}
