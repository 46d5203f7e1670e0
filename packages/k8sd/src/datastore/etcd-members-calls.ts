import { AppError } from "../lib/app-error.ts";
import { type Channel, type ClientTls, openChannel } from "./channel.ts";
import { isCompacted } from "./client-errors.ts";
import type { Member } from "./datastore.ts";
import {
  type AlarmMember,
  AlarmRequest,
  AlarmResponse,
  CompactionRequest,
  CompactionResponse,
  DefragmentRequest,
  DefragmentResponse,
  MemberAddRequest,
  MemberAddResponse,
  MemberListRequest,
  MemberListResponse,
  MemberPromoteRequest,
  MemberPromoteResponse,
  MemberRemoveRequest,
  MemberRemoveResponse,
  MemberUpdateRequest,
  MemberUpdateResponse,
  type MessageFns,
  MoveLeaderRequest,
  MoveLeaderResponse,
  StatusRequest,
  StatusResponse,
} from "./gen/etcd.ts";
import { alarmAction, alarmType } from "./wire.ts";

export interface EtcdMembersOptions {
  /** Client URLs to begin with; those of the members join them as they become known. */
  readonly endpoints: readonly string[];
  readonly tls?: ClientTls;
  /** How long one endpoint may take before the next is tried. Default 3 s: an election takes one to two. */
  readonly attemptMs?: number;
}

const defaultAttemptMs = 3_000;
/** Some 100,000 revisions a second. */
const compactMs = 60_000;

/** etcd's calls about members, each asked of one endpoint after the other until one answers. */
export type MemberCalls = ReturnType<typeof createMemberCalls>;

export function createMemberCalls(options: EtcdMembersOptions) {
  const attemptMs = options.attemptMs ?? defaultAttemptMs;
  const channels = new Map<string, Channel>();
  let endpoints: readonly string[] = options.endpoints;
  if (endpoints.length === 0) {
    throw new AppError("invalid", "cannot reach etcd: no endpoints", { field: "endpoints" });
  }

  function channel(endpoint: string): Channel {
    const known = channels.get(endpoint);
    if (known) return known;
    const opened = openChannel({ endpoints: [endpoint], ...(options.tls ? { tls: options.tls } : {}) });
    channels.set(endpoint, opened);
    return opened;
  }

  async function ask<Q, A>(method: Method<Q, A>, message: Q, signal: AbortSignal, timeoutMs?: number): Promise<A> {
    let last: unknown;
    for (const endpoint of endpoints) {
      signal.throwIfAborted();
      try {
        const answer = await at(endpoint, method, message, signal, timeoutMs);
        endpoints = [endpoint, ...endpoints.filter((other) => other !== endpoint)];
        return answer;
      } catch (error) {
        // Another member may be able to do what this one cannot; a refusal that all would give is final.
        if (!(error instanceof AppError && (error.kind === "unavailable" || error.kind === "timeout"))) throw error;
        if (last === undefined || fromEtcd(error)) last = error;
      }
    }
    throw last;
  }

  const at = <Q, A>(endpoint: string, method: Method<Q, A>, message: Q, signal: AbortSignal, timeoutMs = attemptMs) =>
    channel(endpoint).unary(method.action, method.path, method.request, method.answer, message, {
      signal,
      timeoutMs,
    });

  /** Whoever answers first; for what any member may answer. */
  async function askAny<Q, A>(method: Method<Q, A>, message: Q, signal: AbortSignal): Promise<A> {
    const losers = new AbortController();
    const asked = AbortSignal.any([signal, losers.signal]);
    try {
      return await Promise.any(endpoints.map((endpoint) => at(endpoint, method, message, asked)));
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error;
    } finally {
      losers.abort();
    }
  }

  function learn(members: readonly Member[]): readonly Member[] {
    const known = new Set([...options.endpoints, ...members.flatMap(({ clientUrls }) => clientUrls)]);
    endpoints = [...endpoints.filter((url) => known.has(url)), ...[...known].filter((url) => !endpoints.includes(url))];
    for (const [url, opened] of channels) {
      if (known.has(url)) continue;
      opened.close();
      channels.delete(url);
    }
    return members;
  }

  return {
    /** @param settled True: as the quorum has it. False: as the member that answers has it, which works without quorum. */
    async list(settled: boolean, signal: AbortSignal): Promise<readonly Member[]> {
      const request = { linearizable: settled };
      return learn((await (settled ? ask : askAny)(methods.list, request, signal)).members);
    },
    async addLearner(peerUrls: readonly string[], signal: AbortSignal): Promise<Member> {
      const { member } = await ask(methods.add, { peerUrls: [...peerUrls], isLearner: true }, signal);
      if (member === undefined) throw new AppError("internal", "cannot add an etcd member: it answered with none");
      return member;
    },
    async remove(id: bigint, signal: AbortSignal): Promise<void> {
      learn((await ask(methods.remove, { id }, signal)).members);
    },
    async promote(id: bigint, signal: AbortSignal): Promise<void> {
      await ask(methods.promote, { id }, signal);
    },
    async setPeerUrls(id: bigint, peerUrls: readonly string[], signal: AbortSignal): Promise<void> {
      await ask(methods.update, { id, peerUrls: [...peerUrls] }, signal);
    },
    /** Only the leader itself can do it. */
    async moveLeader(leader: Member, targetId: bigint, signal: AbortSignal): Promise<void> {
      const [endpoint] = leader.clientUrls;
      if (endpoint === undefined) throw new AppError("unavailable", "cannot reach etcd's leader: it has no client URL");
      await at(endpoint, methods.moveLeader, { targetId }, signal);
    },
    status: (endpoint: string, timeoutMs: number, signal: AbortSignal) =>
      at(endpoint, methods.status, {}, signal, timeoutMs),
    /** The member answers nobody until it is done. */
    async defragment(endpoint: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
      await at(endpoint, methods.defragment, {}, signal, timeoutMs);
    },
    /** Of all members. */
    async alarms(signal: AbortSignal): Promise<readonly AlarmMember[]> {
      return (await ask(methods.alarm, { action: alarmAction.get, memberId: 0n, alarm: alarmType.none }, signal))
        .alarms;
    },
    async disarm(alarm: AlarmMember, signal: AbortSignal): Promise<void> {
      await ask(methods.alarm, { action: alarmAction.deactivate, ...alarm }, signal);
    },
    /** Until what is compacted is free. */
    async compact(revision: number, signal: AbortSignal): Promise<void> {
      try {
        await ask(methods.compact, { revision, physical: true }, signal, compactMs);
      } catch (error) {
        if (!isCompacted(error)) throw error;
      }
    },
    close(): void {
      for (const opened of channels.values()) opened.close();
    },
  };
}

/** What a member says explains more than that another one could not be reached. */
const fromEtcd = (error: AppError): boolean => error.message.includes("etcdserver:");

interface Method<Q, A> {
  readonly action: string;
  readonly path: string;
  readonly request: MessageFns<Q>;
  readonly answer: MessageFns<A>;
}

const method = <Q, A>(action: string, path: string, request: MessageFns<Q>, answer: MessageFns<A>): Method<Q, A> => ({
  action,
  path: `/etcdserverpb.${path}`,
  request,
  answer,
});

const methods = {
  list: method("list the members of", "Cluster/MemberList", MemberListRequest, MemberListResponse),
  add: method("add a member to", "Cluster/MemberAdd", MemberAddRequest, MemberAddResponse),
  remove: method("remove a member of", "Cluster/MemberRemove", MemberRemoveRequest, MemberRemoveResponse),
  promote: method("promote a member of", "Cluster/MemberPromote", MemberPromoteRequest, MemberPromoteResponse),
  update: method("move a member of", "Cluster/MemberUpdate", MemberUpdateRequest, MemberUpdateResponse),
  moveLeader: method("move the leader of", "Maintenance/MoveLeader", MoveLeaderRequest, MoveLeaderResponse),
  defragment: method("defragment", "Maintenance/Defragment", DefragmentRequest, DefragmentResponse),
  alarm: method("ask the alarms of", "Maintenance/Alarm", AlarmRequest, AlarmResponse),
  compact: method("compact", "KV/Compact", CompactionRequest, CompactionResponse),
  status: method("ask the state of", "Maintenance/Status", StatusRequest, StatusResponse),
};
