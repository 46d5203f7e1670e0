import { errorText } from "../lib/app-error.ts";
import type { Audit, AuditEntry } from "../node-db/audit.ts";

type What = Pick<AuditEntry, "action" | "details">;

/** Who asked, and from where. */
export interface Asker {
  /** `root`, `member`, the name of the header whose token was right, `k8sd` for what it does by itself. */
  readonly actor: string;
  /** The address it called from; `unix` for the control socket. */
  readonly source: string;
}

/** What nobody asked for: the node does it by itself. */
export const byItself: Asker = { actor: "k8sd", source: "itself" };

/** That it was begun, because a crash may come before the end, and how it ended. */
export function audited<T>(
  audit: Pick<Audit, "record">,
  { actor, source }: Asker,
  what: What,
  result: Promise<T>,
): void {
  const entry = { ...what, actor, details: { ...what.details, source } };
  audit.record({ ...entry, outcome: "begun" });
  result.then(
    () => audit.record({ ...entry, outcome: "ok" }),
    (error: unknown) => audit.record({ ...entry, outcome: errorText(error) }),
  );
}
