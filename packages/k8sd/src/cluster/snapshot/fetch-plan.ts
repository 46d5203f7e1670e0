import { join } from "node:path";
import type { Bare, Plan } from "../../operations/plan.ts";

/** Where the store is, is the operation's secret: it has the key to it. */
export interface FetchInput {
  readonly directory: string;
  readonly name: string;
}

export type FetchStep = Bare<"find-snapshot"> | Bare<"fetch-content"> | Bare<"check-content"> | Bare<"name-file">;

/** What was fetched before it failed, was cancelled or killed; the next fetch of the same snapshot goes on with it. */
export const partOf = ({ directory, name }: FetchInput): string => join(directory, `.${name}.part`);

/** The file has its name once its checksum is right. Until then it is hidden. */
export function planFetch(input: FetchInput, requestId: string): Plan<FetchStep> {
  return {
    operation: "fetch-snapshot",
    requestId,
    input,
    steps: [
      { kind: "find-snapshot", title: "Look for it in the store, and for room on the disk", args: null },
      { kind: "fetch-content", title: "Fetch the snapshot", args: null },
      { kind: "check-content", title: "Compare it with its checksum", args: null },
      { kind: "name-file", title: "Put it in place", args: null },
    ],
    commit: 3,
    result: { directory: input.directory, store: false, name: input.name },
  };
}
