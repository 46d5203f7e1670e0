import type { Bare, Plan } from "../../operations/plan.ts";

export interface SaveInput {
  /** Of the snapshot. */
  readonly id: string;
  /** Where the file is made; with `store` it does not stay there. */
  readonly directory: string;
  /** True: it is for the cluster's S3-compatible store. */
  readonly store: boolean;
  readonly name: string;
  readonly createdAt: number;
  /** 0: all are kept. */
  readonly keep: number;
}

export type SaveStep =
  | Bare<"look-for-room">
  | Bare<"write-snapshot">
  | Bare<"try-restore">
  | Bare<"upload">
  | Bare<"put-in-place">
  | Bare<"remove-outdated">;

/** The file has its name once a trial restore gave back what was saved; before that nothing of it stays. */
export function planSave(input: SaveInput, requestId: string): Plan<SaveStep> {
  const steps: readonly SaveStep[] = [
    { kind: "look-for-room", title: "Look for room on the disk", args: null },
    { kind: "write-snapshot", title: "Write the snapshot", args: null },
    { kind: "try-restore", title: "Restore it on trial and compare", args: null },
    ...(input.store ? [{ kind: "upload", title: "Upload it to the store", args: null } as const] : []),
    { kind: "put-in-place", title: input.store ? "Keep it there" : "Put it in place", args: null },
    { kind: "remove-outdated", title: "Remove outdated snapshots", args: null },
  ];
  return {
    operation: "snapshot",
    requestId,
    input,
    steps,
    commit: steps.findIndex(({ kind }) => kind === "put-in-place"),
    result: { directory: input.directory, store: input.store, name: input.name },
  };
}
