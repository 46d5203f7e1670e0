import type { SealKeyState, SealKeysResponse } from "@k8sd/api-types";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import type { Audit } from "../../node-db/audit.ts";
import { type Asker, audited } from "../audited.ts";
import type { Connections } from "../connections.ts";
import type { Copies, Self } from "../recover/copies.ts";
import type { Roster } from "../roster.ts";
import { createRing } from "./ring.ts";
import { createRotation } from "./rotation.ts";

export interface SealKeyDeps {
  readonly host: { readonly paths: Pick<Paths, "sealKey" | "clusterSecrets"> };
  /** The member that this node is; throws before there is one. */
  readonly member: () => Self;
  readonly connections: () => Connections;
  readonly roster: Pick<Roster, "members">;
  readonly copies: Pick<Copies, "link">;
  readonly audit: Pick<Audit, "record">;
}

/** A call that seals has five seconds for its write. */
const graceMs = 10_000;

/** The key of the seal, for people, for the loops of this node, and for other control planes. */
export function createSealKey(deps: SealKeyDeps) {
  const ring = createRing(deps.host.paths);

  const controlPlanes = () =>
    deps.roster
      .members()
      .filter(({ role, state }) => role === "control-plane" && (state === "active" || state === "leaving"));

  /** Each is asked: whichever has the key that is missing may be any of them. */
  async function fetch(signal: AbortSignal): Promise<readonly Buffer[]> {
    const others = controlPlanes().filter(({ id }) => id !== deps.member().id);
    const answers = await Promise.allSettled(
      others.map(async ({ k8sdAddress }) => (await deps.copies.link(k8sdAddress)).ask("sealKeys", undefined, signal)),
    );
    return answers.flatMap((answer) =>
      answer.status === "fulfilled" ? answer.value.keys.map((key) => Buffer.from(key, "base64")) : [],
    );
  }

  const rotation = createRotation({
    ring,
    fetch,
    graceMs,
    nodeId: () => deps.member().id,
    datastore: () => deps.connections().datastore(),
  });

  async function rotate(signal: AbortSignal): Promise<SealKeyState> {
    await rotation.begin(signal);
    return rotation.follow(signal);
  }

  return {
    follow: rotation.follow,
    state: rotation.state,

    /** Resolves when it is on its way; goes on by itself. */
    rotate(caller: Asker, signal: AbortSignal): Promise<SealKeyState> {
      const result = rotate(signal);
      audited(deps.audit, caller, { action: "datastore.rotate-key", details: {} }, result);
      return result;
    },

    /** For another control plane, by the key that it proves: a worker gets none. */
    async keysFor({ key }: { readonly key?: string }): Promise<SealKeysResponse> {
      if (key === undefined || !controlPlanes().some((member) => member.publicKeyFingerprint === key)) {
        throw new AppError("forbidden", "cannot hand out the keys of the seal: only control planes get them");
      }
      return { keys: (await ring.keys()).map((bytes) => bytes.toString("base64")) };
    },
  };
}
