import type { MemberRecord } from "../../../src/cluster/ledger-records.ts";
import { aClaim, anOrder, type ControlPlane, createTestCluster, root, signal } from "./support.ts";

export const reserve = (at: ControlPlane, ...args: Parameters<typeof aClaim>) =>
  at.admission.reserve(aClaim(...args), signal());

/** The whole way in, through one control plane. */
export async function join(at: ControlPlane, ...args: Parameters<typeof aClaim>): Promise<MemberRecord> {
  const { member } = await reserve(at, ...args);
  await at.admission.begin(member.id, signal());
  return at.admission.commit(member.id, signal());
}

/** A cluster with two control planes, and what tests of admission ask of its tokens. */
export async function createTestAdmission() {
  const cluster = await createTestCluster();
  const one = cluster.controlPlane();
  const two = cluster.controlPlane();
  return {
    cluster,
    one,
    two,
    /** @returns the secret of a new one */
    token: async (...args: Parameters<typeof anOrder>): Promise<string> =>
      (await one.tokens.create(anOrder(...args), root, signal())).secret,
    usesOf: async (secret: string) => {
      const { value } = await one.tokens.find(secret, "test", signal());
      return { used: value.used, holds: Object.keys(value.holds).length };
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

export type TestAdmission = Awaited<ReturnType<typeof createTestAdmission>>;
