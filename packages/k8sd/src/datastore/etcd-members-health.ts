import { AppError } from "../lib/app-error.ts";
import type { Member } from "./datastore.ts";
import type { MemberCalls } from "./etcd-members-calls.ts";
import { quorumOf, reasonText } from "./etcd-members-facts.ts";
import type { EtcdMember, EtcdMemberList, MemberHealth } from "./etcd-members-types.ts";

/** All members are asked side by side, so the whole look takes as long as the slowest. */
export async function withHealth(
  calls: MemberCalls,
  members: readonly Member[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<EtcdMemberList> {
  const looked = await Promise.all(
    members.map(
      async (member): Promise<EtcdMember> => ({
        ...member,
        started: member.name !== "",
        health: await healthOf(calls, member, timeoutMs, signal),
      }),
    ),
  );
  signal.throwIfAborted();
  const leader = looked.find(({ health }) => health.ok && health.leader)?.id;
  return { members: looked, quorum: quorumOf(looked), leader };
}

/** The first of its client URLs that answers counts. */
async function healthOf(
  calls: MemberCalls,
  member: Member,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<MemberHealth> {
  if (member.clientUrls.length === 0) return { ok: false, reason: "it has not started yet" };
  const began = performance.now();
  try {
    const status = await Promise.any(member.clientUrls.map((url) => calls.status(url, timeoutMs, signal)));
    if (status.leader === 0n) return { ok: false, reason: "it sees no leader" };
    if (status.errors.length > 0) return { ok: false, reason: status.errors.join(", ") };
    const { version, raftIndex, raftAppliedIndex, dbSize, dbSizeInUse } = status;
    const answerMs = Math.round(performance.now() - began);
    return {
      ok: true,
      version,
      leader: status.leader === member.id,
      raftIndex,
      raftAppliedIndex,
      dbSize,
      dbSizeInUse,
      answerMs,
    };
  } catch (error) {
    const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
    const noAnswer = first instanceof AppError && (first.kind === "timeout" || first.kind === "cancelled");
    return { ok: false, reason: noAnswer ? `no answer within ${timeoutMs / 1000} s` : reasonText(first) };
  }
}
