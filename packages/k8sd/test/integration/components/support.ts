import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeView } from "../../../src/components/component.ts";
import { createPaths } from "../../../src/host/paths.ts";
import { aNode } from "../../unit/components/support.ts";

export interface TemporaryNode extends AsyncDisposable {
  readonly base: string;
  view(over?: Partial<NodeView>): NodeView;
}

/** A node whose files all lie below a temporary folder. */
export async function temporaryNode(): Promise<TemporaryNode> {
  // Short: paths of sockets have 108 bytes.
  const base = await mkdtemp(join(tmpdir(), "k8c-"));
  const paths = createPaths({ root: base, snap: join(base, "snap"), snapCommon: join(base, "common") });
  return {
    base,
    view: (over) => aNode({ paths, ...over }),
    [Symbol.asyncDispose]: () => rm(base, { recursive: true, force: true }),
  };
}
