import type { Logger } from "pino";
import type { Member } from "./datastore.ts";
import type { MemberCalls } from "./etcd-members-calls.ts";
import { describeMember } from "./etcd-members-facts.ts";
import type { StatusResponse } from "./gen/etcd.ts";
import { hasRoom, type MemberRoom, toDefragment } from "./upkeep-plan.ts";
import { alarmType } from "./wire.ts";

export interface UpkeepDeps {
  readonly calls: MemberCalls;
  readonly log: Pick<Logger, "info" | "warn">;
}

/** What was done: nothing, mostly. */
export interface UpkeepResult {
  /** Names, in order. */
  readonly defragmented: readonly string[];
  /** What a full datastore came to. */
  readonly full: "no" | "has room again" | "still full";
}

interface Seen {
  readonly member: Member;
  readonly endpoint: string;
  readonly status: StatusResponse;
}

const statusMs = 3_000;
/** etcd writes some 100 MB/s; its file is 8 GiB at most. */
const defragmentMs = 180_000;

/**
 * Gives the datastore its room back: files of which most is unused are written anew, one member at a time; one that is full,
 * and takes no writes for that, is freed of what was overwritten and deleted, and takes writes again.
 * kube-apiserver cannot do the latter, because it begins a compaction with a write.
 * Only the node of the member that leads does anything, since in a full datastore nobody can hold a lock.
 */
export async function keepUp(deps: UpkeepDeps, home: string, signal: AbortSignal): Promise<UpkeepResult> {
  const { calls, log } = deps;
  const nothing: UpkeepResult = { defragmented: [], full: "no" };
  const own = await calls.status(home, statusMs, signal);
  if (own.leader === 0n || own.leader !== own.header?.memberId) return nothing;

  const alarms = await calls.alarms(signal);
  const full = alarms.some(({ alarm }) => alarm === alarmType.noSpace);
  const members = await calls.list(false, signal);
  if (full) {
    log.warn(
      { revision: own.header.revision },
      "The datastore is full: its history goes, so that it takes writes again",
    );
    await calls.compact(own.header.revision, signal);
  }
  const seen = await look(calls, members, signal);
  const before = seen.map(roomOf);
  const chosen = toDefragment(before, { full, away: members.length - seen.length });
  for (const { id, name, size, inUse } of chosen) {
    const { endpoint } = seen.find(({ member }) => member.id === id) ?? {};
    if (endpoint === undefined) continue;
    await calls.defragment(endpoint, defragmentMs, signal);
    log.info({ member: name, size, inUse }, "Defragmented");
  }
  const defragmented = chosen.map(({ name }) => name);
  if (!full) return { defragmented, full: "no" };
  const after = (await look(calls, members, signal)).map(roomOf);
  if (!hasRoom(before, after)) {
    log.warn({ members: after.map(({ name, size }) => ({ name, size })) }, "The datastore is full of what is in use");
    return { defragmented, full: "still full" };
  }
  for (const alarm of alarms) if (alarm.alarm === alarmType.noSpace) await calls.disarm(alarm, signal);
  log.info({ defragmented }, "The datastore takes writes again");
  return { defragmented, full: "has room again" };
}

/** Those that answer. */
async function look(calls: MemberCalls, members: readonly Member[], signal: AbortSignal): Promise<readonly Seen[]> {
  const looked = await Promise.all(
    members.map(async (member): Promise<readonly Seen[]> => {
      for (const endpoint of member.clientUrls) {
        const status = await calls.status(endpoint, statusMs, signal).catch(() => undefined);
        if (status !== undefined) return [{ member, endpoint, status }];
      }
      return [];
    }),
  );
  signal.throwIfAborted();
  return looked.flat();
}

function roomOf({ member, status }: Seen): MemberRoom {
  const { dbSize, dbSizeInUse, dbSizeQuota, leader } = status;
  return {
    id: member.id,
    name: describeMember(member),
    leader: leader === member.id,
    size: dbSize,
    inUse: dbSizeInUse,
    quota: dbSizeQuota,
  };
}
