import { AppError, isKind } from "../lib/app-error.ts";
import { poll, withDeadline } from "../lib/wait.ts";
import type { Member } from "./datastore.ts";
import { createMemberCalls, type EtcdMembersOptions } from "./etcd-members-calls.ts";
import {
  describeMember,
  describeQuorum,
  findMember,
  quorumWithout,
  reasonText,
  refusalOf,
  sameUrls,
} from "./etcd-members-facts.ts";
import { withHealth } from "./etcd-members-health.ts";
import type {
  EtcdMember,
  EtcdMemberList,
  EtcdMembers,
  MemberCall,
  MemberReference,
  RemoveMember,
} from "./etcd-members-types.ts";

/** Two members one hop away answer in a millisecond; a busy disk holds a member up for most of a second. */
const healthMs = 1_500;
const defaultTimeoutMs = 60_000;
/** Learners come and go within seconds: a look four times a second costs nothing and keeps the queue moving. */
const intervalMs = 250;
/** One look can catch a healthy member at a bad moment; refusing a removal takes as many that agree. */
const looksBeforeRefusal = 3;

const recoverRemedy =
  "Start the members that do not answer; when too many are lost for good, run 'k8s recover' on a control plane that is left.";

export function createEtcdMembers(options: EtcdMembersOptions): EtcdMembers {
  const calls = createMemberCalls(options);
  const closed = new AbortController();

  const look = async (settled: boolean, signal: AbortSignal): Promise<EtcdMemberList> =>
    withHealth(calls, await calls.list(settled, signal), healthMs, signal);

  /** Why it does not go on, as an error that means "not yet". */
  async function notYet(error: unknown, signal: AbortSignal): Promise<AppError> {
    const seen = await look(false, signal).catch(() => undefined);
    const state = seen === undefined ? "no member answers" : describeQuorum(seen.members);
    const remedy = seen?.quorum.has
      ? "Look at the log of etcd on the members that are not healthy, or remove their nodes with 'k8s remove-node'."
      : recoverRemedy;
    return new AppError("unavailable", `${reasonText(error)} (${state})`, { remedy, cause: error });
  }

  /** Repeats an attempt until it has a result; what etcd cannot decide now is waited for, what it will never do is thrown. */
  async function until<T>(
    what: string,
    call: MemberCall,
    attempt: (signal: AbortSignal) => Promise<T | undefined>,
  ): Promise<T> {
    const tell = (note: string) => call.onProgress?.({ done: 0, of: 1, note });
    const signal = AbortSignal.any([call.signal, closed.signal]);
    const tryOnce = async (deadline: AbortSignal): Promise<T | undefined> => {
      try {
        return await attempt(deadline);
      } catch (error) {
        deadline.throwIfAborted();
        if (error instanceof Waiting) tell(error.message);
        if (error instanceof Waiting || refusalOf(error) !== "unsettled") throw error;
        const reason = await notYet(error, deadline);
        tell(reason.message);
        throw reason;
      }
    };
    const deadlineMs = call.timeoutMs ?? defaultTimeoutMs;
    try {
      return await poll(tryOnce, { what, deadlineMs, signal, intervalMs });
    } catch (error) {
      const reason = isKind(error, "timeout") ? error.cause : undefined;
      if (!(error instanceof AppError && reason instanceof AppError && reason.remedy !== undefined)) throw error;
      throw new AppError("timeout", error.message, { remedy: reason.remedy, cause: reason });
    }
  }

  async function removeOnce(who: MemberReference, call: RemoveMember, state: RemovalState, signal: AbortSignal) {
    const seen = await look(true, signal);
    const member = findMember(seen.members, who);
    if (member === undefined) return state.asked ? "removed" : "absent";
    if (!member.isLearner) refuseToBreak(member, seen, call.force ?? false, state);
    if (member.id === seen.leader) await handOver(member, seen, signal, call);
    call.onProgress?.({ done: 0, of: 1, note: `removing ${describeMember(member)}` });
    state.asked = true;
    try {
      await calls.remove(member.id, signal);
    } catch (error) {
      if (refusalOf(error) !== "not-found") throw error;
    }
    return "removed";
  }

  /** A leader that is taken out costs an election; one that hands over costs nothing. */
  async function handOver(leader: EtcdMember, seen: EtcdMemberList, signal: AbortSignal, call: MemberCall) {
    const applied = (member: EtcdMember) => (member.health.ok ? member.health.raftAppliedIndex : -1);
    const [next] = seen.members
      .filter(({ id, isLearner, health }) => id !== leader.id && !isLearner && health.ok)
      .sort((a, b) => applied(b) - applied(a));
    if (next === undefined) return;
    call.onProgress?.({ done: 0, of: 1, note: `${describeMember(next)} takes over the lead` });
    try {
      await calls.moveLeader(leader, next.id, signal);
    } catch (error) {
      signal.throwIfAborted();
      // Taken out as leader it is then: the others elect one, a second later.
      call.onProgress?.({ done: 0, of: 1, note: reasonText(error) });
    }
  }

  return {
    async list(call) {
      const timeoutMs = call.timeoutMs ?? healthMs;
      const signal = AbortSignal.any([call.signal, closed.signal]);
      // Half of the time for the list, so that the other half is there for the members' health.
      const members = await calls
        .list(call.settled ?? false, withDeadline(signal, timeoutMs / 2))
        .catch((error: unknown) => {
          signal.throwIfAborted();
          throw new AppError("unavailable", `cannot list the members of etcd within ${timeoutMs / 1000} s`, {
            remedy: recoverRemedy,
            cause: error,
          });
        });
      return withHealth(calls, members, timeoutMs / 2, signal);
    },

    addLearner(call) {
      const { name, peerUrls, fresh } = call;
      return until(`add etcd member ${name}`, call, async (signal) => {
        const members = await calls.list(true, signal);
        const mine = members.find((member) => sameUrls(member.peerUrls, peerUrls));
        if (mine !== undefined) {
          if (!fresh || mine.name === "") return mine;
          await refuseIfItRuns(mine, signal);
          call.onProgress?.({ done: 0, of: 1, note: `replacing the membership that ${name} had before` });
          await removeOnce({ id: mine.id }, { ...call, force: false }, { asked: false, refusals: 0 }, signal);
          return undefined;
        }
        refuseOverlap(members, name, peerUrls);
        const learner = members.find(({ isLearner }) => isLearner);
        if (learner === undefined) return await addNow(peerUrls, signal);
        if (!(await call.isAbandoned?.(learner))) throw new Waiting(`${describeMember(learner)} is joining`);
        call.onProgress?.({ done: 0, of: 1, note: `removing ${describeMember(learner)}, whose join was given up` });
        await calls.remove(learner.id, signal);
        return undefined;
      });
    },

    async awaitCaughtUp(id, call) {
      let target: number | undefined;
      await until(`see etcd member ${id.toString(16)} caught up`, call, async (signal) => {
        const { members } = await look(true, signal);
        const member = expectMember(members, id);
        if (!member.isLearner) return true;
        if (!member.health.ok) throw new Waiting(`${describeMember(member)}: ${member.health.reason}`);
        const leader = members.find(({ health }) => health.ok && health.leader);
        target ??= leader?.health.ok ? leader.health.raftIndex : undefined;
        if (target === undefined) throw new Waiting("the leader does not answer");
        const done = Math.min(member.health.raftAppliedIndex, target);
        call.onProgress?.({ done, of: target, note: `${describeMember(member)} catches up` });
        return done >= target ? true : undefined;
      });
    },

    promote(id, call) {
      return until(`promote etcd member ${id.toString(16)}`, call, async (signal) => {
        try {
          await calls.promote(id, signal);
        } catch (error) {
          const refusal = refusalOf(error);
          if (refusal === "not-in-step") throw new Waiting("the learner is not in step with the leader yet");
          if (refusal !== "not-a-learner" && refusal !== "not-found") throw error;
        }
        const member = expectMember(await calls.list(true, signal), id);
        return member.isLearner ? undefined : member;
      });
    },

    remove(who, call) {
      const state: RemovalState = { asked: false, refusals: 0 };
      const name = "id" in who ? who.id.toString(16) : "name" in who ? who.name : who.peerUrl;
      return until(`remove etcd member ${name}`, call, (signal) => removeOnce(who, call, state, signal));
    },

    async setPeerUrls(id, peerUrls, call) {
      await until(`move etcd member ${id.toString(16)}`, call, async (signal) => {
        expectMember(await calls.list(true, signal), id);
        await calls.setPeerUrls(id, peerUrls, signal);
        return true;
      });
    },

    async [Symbol.asyncDispose]() {
      closed.abort(new AppError("cancelled", "cannot ask etcd: its client is closed"));
      calls.close();
    },
  };

  async function addNow(peerUrls: readonly string[], signal: AbortSignal): Promise<Member> {
    try {
      return await calls.addLearner(peerUrls, signal);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === "too-many-learners") throw new Waiting("another member is joining");
      // Added by an attempt whose answer was lost, or by another caller for the same node: the next look finds it.
      if (refusal === "peer-exists") throw new Waiting("the member is being added");
      // etcd makes a member's number from its URLs and the second: within the second of a removal it is a removed one's.
      if (refusal === "not-found") throw new Waiting("the membership that was there before is being forgotten");
      throw error;
    }
  }

  async function refuseIfItRuns(mine: Member, signal: AbortSignal): Promise<void> {
    const seen = await withHealth(calls, [mine], healthMs, signal);
    if (!seen.members[0]?.health.ok) return;
    throw new AppError(
      "conflict",
      `cannot add an etcd member at ${mine.peerUrls.join(", ")}: member ${describeMember(mine)} runs there`,
      { remedy: "Give this node an address of its own, or remove that member's node first." },
    );
  }
}

/** Not a failure: what is waited for. */
class Waiting extends AppError {
  constructor(message: string) {
    super("unavailable", message);
  }
}

interface RemovalState {
  /** True once etcd was told to remove it: not being there is then our doing. */
  asked: boolean;
  refusals: number;
}

function refuseToBreak(member: EtcdMember, seen: EtcdMemberList, force: boolean, state: RemovalState): void {
  if (seen.quorum.voters === 1) {
    throw new AppError("conflict", `cannot remove etcd member ${describeMember(member)}: it is the last that votes`, {
      remedy: "Add another control plane first.",
    });
  }
  const after = quorumWithout(seen.members, member.id);
  if (force || after.has) return;
  state.refusals += 1;
  const facts = `then ${after.healthyVoters} of ${after.voters} voting members are healthy and ${after.needed} are needed`;
  const message = `cannot remove etcd member ${describeMember(member)}: ${facts} (${describeQuorum(seen.members)})`;
  if (state.refusals < looksBeforeRefusal) throw new Waiting(message);
  throw new AppError("conflict", message, {
    remedy: "Bring the other members back or remove those that are lost first; --force removes it all the same.",
  });
}

function refuseOverlap(members: readonly Member[], name: string, peerUrls: readonly string[]): void {
  const other = members.find((member) => member.peerUrls.some((url) => peerUrls.includes(url)));
  if (other === undefined) return;
  throw new AppError("conflict", `cannot add etcd member ${name}: ${describeMember(other)} has one of its peer URLs`, {
    remedy: `Remove ${describeMember(other)} first, or give ${name} another address.`,
  });
}

function expectMember<M extends Member>(members: readonly M[], id: bigint): M {
  const member = findMember(members, { id });
  if (member !== undefined) return member;
  throw new AppError("not-found", `cannot find etcd member ${id.toString(16)}: it was removed`, {
    remedy: "Join again: the membership was taken back.",
  });
}
