import { AppError } from "../../lib/app-error.ts";
import type { Revision } from "../datastore.ts";
import { type Content, sameOrder } from "./fingerprint.ts";

/** A copy has to have its keys above all revisions that clients of its source know. */
export function refuseOvertaken(last: Revision, floor: Revision): void {
  if (last < floor) return;
  throw new AppError(
    "conflict",
    `cannot copy the datastore: it reached revision ${last}, and its copy began at ${floor}`,
    { remedy: "try again when less is written" },
  );
}

/** What both sides hold; fails where that is not the same. */
export async function sameContent(source: Promise<Content>, target: Promise<Content>): Promise<Content> {
  const [original, copied] = await Promise.all([source, target]);
  const { keys, hash, revisions } = copied;
  if (hash === original.hash && sameOrder(original.revisions, revisions)) return copied;
  throw new AppError("internal", "cannot copy the datastore: the copy differs from its source", {
    remedy: "see that nobody else writes to the target, and try again",
    details: { keys, sourceKeys: original.keys, hash, sourceHash: original.hash },
  });
}
