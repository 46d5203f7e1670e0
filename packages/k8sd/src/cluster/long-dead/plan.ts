import type { KnownMember } from "../roster.ts";

/** For how long a control plane has taken members for dead without a break, in milliseconds by their ids. */
export type DeadView = ReadonlyMap<string, number>;

export interface LongDeadInput {
  readonly members: readonly Pick<KnownMember, "id" | "name" | "role" | "state">[];
  /** By the id of the control plane that says so; whoever does not answer is not in it. */
  readonly views: ReadonlyMap<string, DeadView>;
  readonly afterMs: number;
}

export interface LongDead {
  readonly id: string;
  readonly name: string;
  readonly deadMs: number;
}

/**
 * The one member to take out now. A majority of the control planes, the dead ones counted too, must each have taken it for
 * dead for the whole time. Nobody goes while another one comes or goes, and nobody where most are gone: that is no dead node.
 * What etcd can do without is checked by the removal itself.
 */
export function findLongDead({ members, views, afterMs }: LongDeadInput): LongDead | undefined {
  if (members.some(({ role, state }) => state === "leaving" || (role === "control-plane" && isComing(state)))) {
    return undefined;
  }
  const active = members.filter(({ state }) => state === "active");
  const controlPlanes = active.filter(({ role }) => role === "control-plane");
  const needed = Math.floor(controlPlanes.length / 2) + 1;
  const seen = active.flatMap(({ id, name }) => {
    const times = controlPlanes.flatMap((one) => (one.id === id ? [] : (views.get(one.id)?.get(id) ?? [])));
    // What the majority agrees on: as many have seen it dead for at least this long.
    const agreed = times.toSorted((a, b) => b - a)[needed - 1];
    return agreed === undefined ? [] : [{ id, name, deadMs: agreed }];
  });
  if (seen.length * 2 > active.length) return undefined;
  return seen
    .filter(({ deadMs }) => deadMs >= afterMs)
    .reduce<LongDead | undefined>(
      (longest, each) => (longest === undefined || each.deadMs > longest.deadMs ? each : longest),
      undefined,
    );
}

function isComing(state: KnownMember["state"]): boolean {
  return state === "reserved" || state === "joining";
}
