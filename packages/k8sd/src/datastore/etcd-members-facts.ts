import { AppError, errorText } from "../lib/app-error.ts";
import type { Member } from "./datastore.ts";
import type { EtcdMember, EtcdQuorum, MemberReference } from "./etcd-members-types.ts";

const majority = (voters: number): number => Math.floor(voters / 2) + 1;

export function quorumOf(members: readonly Pick<EtcdMember, "isLearner" | "health">[]): EtcdQuorum {
  const voting = members.filter(({ isLearner }) => !isLearner);
  const healthyVoters = voting.filter(({ health }) => health.ok).length;
  return quorumFacts(voting.length, healthyVoters);
}

function quorumFacts(voters: number, healthyVoters: number): EtcdQuorum {
  const needed = majority(voters);
  const has = voters > 0 && healthyVoters >= needed;
  return { voters, healthyVoters, needed, has, canLose: has ? healthyVoters - needed : 0 };
}

/** The quorum as it is once this member is out. */
export function quorumWithout(members: readonly EtcdMember[], id: bigint): EtcdQuorum {
  return quorumOf(members.filter((member) => member.id !== id));
}

export function describeMember(member: Pick<Member, "id" | "name" | "peerUrls">): string {
  return member.name === "" ? `${member.id.toString(16)} (${member.peerUrls.join(", ")})` : member.name;
}

/** "2 of 3 voting members are healthy; n3: connection refused". */
export function describeQuorum(members: readonly EtcdMember[]): string {
  const { voters, healthyVoters } = quorumOf(members);
  const failing = members.flatMap((member) =>
    member.isLearner || member.health.ok ? [] : [`${describeMember(member)}: ${member.health.reason}`],
  );
  return [`${healthyVoters} of ${voters} voting members are healthy`, ...failing].join("; ");
}

export function sameUrls(a: readonly string[], b: readonly string[]): boolean {
  const sorted = (urls: readonly string[]) => [...new Set(urls)].sort().join(" ");
  return sorted(a) === sorted(b);
}

/** The one member that is meant; undefined when there is none. */
export function findMember<M extends Member>(members: readonly M[], who: MemberReference): M | undefined {
  if ("id" in who) return members.find(({ id }) => id === who.id);
  if ("peerUrl" in who) return members.find(({ peerUrls }) => peerUrls.includes(who.peerUrl));
  const named = members.filter(({ name }) => name === who.name);
  if (named.length > 1) {
    throw new AppError(
      "conflict",
      `cannot tell which etcd member is meant: ${named.length} bear the name ${who.name}`,
      {
        remedy: `Name it by its peer URL: ${named.flatMap(({ peerUrls }) => peerUrls).join(", ")}.`,
      },
    );
  }
  return named[0];
}

/**
 * Peer URL by member name for the start of a new member, which etcd compares with the cluster: as many members, the same
 * URLs. Take it from a list made after the member was added and right before its first start.
 */
export function initialCluster(
  members: readonly Member[],
  self: { readonly name: string; readonly peerUrl: string },
): Readonly<Record<string, string>> {
  const peers: Record<string, string> = {};
  if (!members.some(({ peerUrls }) => peerUrls.includes(self.peerUrl))) {
    throw new AppError("not-found", `cannot start etcd on ${self.name}: the cluster has no member at ${self.peerUrl}`, {
      remedy: "Join again: the membership was taken back.",
    });
  }
  for (const member of members) {
    const [url, ...others] = member.peerUrls;
    if (url === undefined || others.length > 0) {
      throw new AppError(
        "conflict",
        `cannot start etcd: member ${describeMember(member)} has not exactly one peer URL`,
        {
          remedy: "Set one with 'etcdctl member update'.",
        },
      );
    }
    peers[nameFor(member, url === self.peerUrl, self.name)] = url;
  }
  return peers;
}

/** Names are nothing to etcd but keys here: unnamed members, and namesakes of the new one, get their number. */
function nameFor(member: Member, isSelf: boolean, self: string): string {
  if (isSelf) return self;
  const number = member.id.toString(16);
  if (member.name === "") return number;
  return member.name === self ? `${member.name}-${number}` : member.name;
}

export type Refusal =
  /** Another learner is there; etcd has one at a time. */
  | "too-many-learners"
  | "peer-exists"
  | "not-found"
  /** It has its vote already. */
  | "not-a-learner"
  | "not-in-step"
  | "not-leader"
  /** Nobody can decide now: no leader, no quorum, an unhealthy member, a request that timed out. */
  | "unsettled"
  | "other";

const texts: readonly (readonly [RegExp, Refusal])[] = [
  [/too many learner members/, "too-many-learners"],
  [/Peer URLs already exists|member ID already exist/i, "peer-exists"],
  [/member not found/, "not-found"],
  [/in sync with leader/, "not-in-step"],
  [/can only promote a learner member/, "not-a-learner"],
  [/not leader/, "not-leader"],
  [
    /unhealthy cluster|not enough started members|no leader|leader changed|request timed out|bad leader transferee/,
    "unsettled",
  ],
];

/** etcd says why in words: several reasons share one status code. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof AppError)) return "other";
  const text = errorText(error);
  const known = texts.find(([pattern]) => pattern.test(text))?.[1];
  return known ?? (error.kind === "unavailable" || error.kind === "timeout" ? "unsettled" : "other");
}

/** gRPC's words around a connection error say nothing more than the error itself; etcd's own come after its name. */
export function reasonText(error: unknown): string {
  const text = error instanceof AppError ? error.message : errorText(error);
  const connection = /Last error: (?:Error: )?(.*?)\.? Resolution note/.exec(text)?.[1];
  return connection ?? /etcdserver: (.*)$/.exec(text)?.[1] ?? text;
}
