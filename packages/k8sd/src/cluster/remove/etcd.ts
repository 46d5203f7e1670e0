import { hostPort } from "../../components/address.ts";
import type { NodeView } from "../../components/component.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { createEtcdMembers } from "../../datastore/etcd-members.ts";
import { quorumWithout } from "../../datastore/etcd-members-facts.ts";
import type { EtcdMembers, EtcdQuorum, MemberReference } from "../../datastore/etcd-members-types.ts";
import { AppError } from "../../lib/app-error.ts";
import type { StepContext } from "../../operations/plan.ts";
import { clientTls } from "../connections.ts";
import { etcdView } from "../join/datastore-view.ts";
import { peerUrl } from "../join/prepare.ts";
import type { MemberRecord } from "../ledger-records.ts";
import { withClusterLock } from "../lock.ts";

export interface EtcdRemoval {
  /** Of the node that does it. */
  readonly view: NodeView;
  readonly member: Pick<MemberRecord, "name" | "addresses">;
  /** Addresses of the other control planes. */
  readonly others: readonly string[];
  /** Also where the rest is then too few to write. */
  readonly force: boolean;
}

/** Removals wait for each other: two at once could each see a majority that both together end. */
const turnMs = 60_000;
const removeMs = 60_000;

type OfOne = Omit<EtcdRemoval, "force">;

/** What is left of etcd without the member, where that is too little to write; undefined: it bears it. */
export async function etcdTooSmall(removal: OfOne, signal: AbortSignal): Promise<EtcdQuorum | undefined> {
  const { view, member, others } = removal;
  const reachable = others.filter((address) => !member.addresses.includes(address));
  await using members = await connectMembers({ view, others: reachable });
  const seen = await members.list({ signal, timeoutMs: 3_000 });
  const self = seen.members.find(({ peerUrls }) => peerUrls.includes(peerUrlOf(removal)));
  if (self === undefined || self.isLearner) return undefined;
  const after = quorumWithout(seen.members, self.id);
  return after.has ? undefined : after;
}

/** Refuses, with the numbers, what would stop the cluster from writing. */
export async function checkEtcdBears(removal: OfOne, signal: AbortSignal): Promise<void> {
  const after = await etcdTooSmall(removal, signal);
  if (after === undefined) return;
  const { name } = removal.member;
  throw new AppError(
    "conflict",
    `cannot remove ${name}: then ${after.healthyVoters} of ${after.voters} voting members of etcd are healthy, and ${after.needed} are needed to write`,
    {
      remedy:
        "Bring the other members back, or remove those that are lost first. --force removes it all the same: then the cluster stands still until 'k8s recover'.",
    },
  );
}

type Context = Pick<StepContext, "signal" | "progress">;

export function removeEtcdMember(removal: EtcdRemoval, datastore: Datastore, context: Context): Promise<void> {
  const { view, member, others, force } = removal;
  const reachable = others.filter((address) => !member.addresses.includes(address));
  const who = { peerUrl: peerUrlOf(removal) };
  return takeOutEtcdMember({ view, who, others: reachable, force }, datastore, context);
}

interface TakeOut extends Pick<EtcdRemoval, "view" | "others" | "force"> {
  readonly who: MemberReference;
}

export async function takeOutEtcdMember(order: TakeOut, datastore: Datastore, context: Context): Promise<void> {
  const { signal } = context;
  await withClusterLock(datastore, { name: "etcd-members", signal, waitMs: turnMs }, async (held) => {
    await using members = await connectMembers(order);
    await members.remove(order.who, {
      signal: held,
      timeoutMs: removeMs,
      force: order.force,
      onProgress: (progress) => context.progress(progress),
    });
  });
}

function peerUrlOf({
  view,
  member: {
    addresses: [address = ""],
  },
}: OfOne): string {
  return peerUrl(address, etcdView(view).peerPort);
}

async function connectMembers({ view, others }: Pick<EtcdRemoval, "view" | "others">): Promise<EtcdMembers> {
  const { endpoints, clientPort } = etcdView(view);
  return createEtcdMembers({
    endpoints: [...endpoints, ...others.map((address) => `https://${hostPort(address, clientPort)}`)],
    tls: await clientTls(view),
  });
}
