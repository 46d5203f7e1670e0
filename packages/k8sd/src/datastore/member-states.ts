import type { Member } from "./datastore.ts";
import type { MemberCalls } from "./etcd-members-calls.ts";
import { reasonText } from "./etcd-members-facts.ts";
import type { StatusResponse } from "./gen/etcd.ts";
import { alarmType } from "./wire.ts";

/** How one member of the datastore is, as it says itself. */
export interface MemberState {
  readonly member: Member;
  /** Why it says nothing; the rest is absent then. */
  readonly problem?: string;
  readonly version?: string;
  readonly leads?: boolean;
  /** Changes that the cluster has and this member has not applied. */
  readonly behind?: number;
  readonly size?: number;
  readonly inUse?: number;
  /** Absent where it does not tell (etcd before 3.6). */
  readonly quota?: number;
  readonly alarms: readonly string[];
}

const alarmNames = new Map<number, string>([
  [alarmType.noSpace, "NOSPACE"],
  [alarmType.corrupt, "CORRUPT"],
]);

/** Asks all of them side by side, so that it takes as long as the slowest; works without quorum too. */
export async function memberStates(
  calls: MemberCalls,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<readonly MemberState[]> {
  const members = await calls.list(false, signal);
  const answers = await Promise.all(members.map((member) => ask(calls, member, timeoutMs, signal)));
  const raised = await calls.alarms(AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])).catch(() => []);
  signal.throwIfAborted();
  const newest = Math.max(...answers.map(({ status }) => status?.raftIndex ?? 0));
  return answers.map(({ member, status, problem }): MemberState => {
    const alarms = raised
      .filter(({ memberId }) => memberId === member.id)
      .map(({ alarm }) => alarmNames.get(alarm) ?? String(alarm));
    if (status === undefined) return { member, alarms, ...(problem === undefined ? {} : { problem }) };
    const { version, leader, raftAppliedIndex, dbSize, dbSizeInUse, dbSizeQuota } = status;
    return {
      ...{ member, alarms, version, leads: leader === member.id, size: dbSize, inUse: dbSizeInUse },
      behind: Math.max(0, newest - raftAppliedIndex),
      ...(dbSizeQuota > 0 ? { quota: dbSizeQuota } : {}),
    };
  });
}

interface Answer {
  readonly member: Member;
  readonly status?: StatusResponse;
  readonly problem?: string;
}

/** The first of its client URLs that answers counts. */
async function ask(calls: MemberCalls, member: Member, timeoutMs: number, signal: AbortSignal): Promise<Answer> {
  if (member.clientUrls.length === 0) return { member, problem: "it has not started yet" };
  try {
    return { member, status: await Promise.any(member.clientUrls.map((url) => calls.status(url, timeoutMs, signal))) };
  } catch (error) {
    return { member, problem: reasonText(error instanceof AggregateError ? error.errors[0] : error) };
  }
}
