import { isDeepStrictEqual } from "node:util";
import type { Datastore } from "../datastore/datastore.ts";
import { AppError } from "../lib/app-error.ts";
import type { ClusterConfig } from "./config/types.ts";
import { type ChangesOptions, type LedgerChange, ledgerChanges } from "./ledger-changes.ts";
import {
  type ClusterRecord,
  clusterKey,
  configKey,
  type MemberRecord,
  memberKey,
  membersPrefix,
  nameKey,
  podSubnetKey,
  type RecoveryRecord,
  type Removal,
  type StoredMember,
} from "./ledger-records.ts";
import { createLedgerStore, type Guard, type Stored, untilSwapped, type Write } from "./ledger-store.ts";
import { moved, tombstone } from "./ledger-transitions.ts";
import { type JoinTokenRecord, tokenKey, withoutHold } from "./tokens-rules.ts";

type Addition = "state" | "incarnation" | "versions" | "publicKeyFingerprint" | "changedAt" | "podSubnetIndex";

export interface Founding {
  readonly cluster: ClusterRecord;
  /** The first member is active from the start and owns the first part of the pod range. */
  readonly member: Omit<StoredMember, Addition> & Partial<Pick<StoredMember, Addition>>;
  readonly config: ClusterConfig;
}

/** What may change of a member without a change of its state. */
export type MemberUpdate = Partial<
  Pick<StoredMember, "addresses" | "k8sdAddress" | "versions" | "publicKeyFingerprint" | "meshPeer">
>;

/** Servers are named where somebody else runs them; without what lets one in. */
export interface EngineRecord {
  readonly type: "sqlite" | "etcd" | "external";
  readonly servers?: readonly string[] | undefined;
}

/** Typed records over the datastore; nobody else knows their keys. Nodes come in through `createAdmission`. */
export interface Ledger {
  /** The first record of a cluster: all of it or nothing, and only in a datastore that holds no cluster. */
  found(founding: Founding, signal: AbortSignal): Promise<void>;
  cluster(signal: AbortSignal): Promise<ClusterRecord | undefined>;
  config(signal: AbortSignal): Promise<ClusterConfig | undefined>;
  /** All that are recorded, in whatever state; tombstones too. */
  members(signal: AbortSignal): Promise<readonly MemberRecord[]>;
  member(id: string, signal: AbortSignal): Promise<MemberRecord | undefined>;
  /** Who has the name now, in whatever state. */
  memberNamed(name: string, signal: AbortSignal): Promise<MemberRecord | undefined>;
  update(id: string, update: MemberUpdate, signal: AbortSignal): Promise<MemberRecord>;
  /** The node is going out; again is no error, and may change how. */
  leave(id: string, at: number, signal: AbortSignal, removal?: Removal): Promise<MemberRecord>;
  /** Nothing derived from the record is left: its name, its part of the pod range and its token are free. Again is no error. */
  remove(id: string, at: number, signal: AbortSignal): Promise<MemberRecord>;
  /** After a recovery; again, and later than another one, changes nothing. */
  beginEpoch(epoch: number, recovery: RecoveryRecord, signal: AbortSignal): Promise<ClusterRecord>;
  /** Which engine holds the data; again changes nothing. */
  setEngine(datastore: EngineRecord, signal: AbortSignal): Promise<void>;
  /** Snapshot first (with `from` 0), then what changes, until the signal. */
  changes(options: ChangesOptions): AsyncIterable<LedgerChange>;
}

export function createLedger(datastore: Datastore): Ledger {
  const store = createLedgerStore(datastore);
  const memberOf = ({ value, revision }: Stored<StoredMember>): MemberRecord => ({ ...value, revision });

  const member = async (id: string, signal: AbortSignal): Promise<MemberRecord | undefined> => {
    const found = await store.read<StoredMember>(memberKey(id), signal);
    return found && memberOf(found);
  };

  /** The use of a token that a join which never ended still holds: with the member it is over. */
  async function heldFor({ id, token }: StoredMember, signal: AbortSignal) {
    const key = tokenKey(token ?? "");
    const seen = token === undefined ? undefined : await store.read<JoinTokenRecord>(key, signal);
    if (seen === undefined || !(id in seen.value.holds)) return { guards: [], writes: [] };
    return { guards: [{ key, seen }], writes: [{ key, value: withoutHold(seen.value, id) }] };
  }

  return {
    found: async ({ cluster, member: founder, config }, signal) => {
      const record: StoredMember = {
        publicKeyFingerprint: "",
        incarnation: 1,
        versions: {},
        changedAt: cluster.createdAt,
        ...founder,
        state: "active",
        podSubnetIndex: 0,
      };
      const writes: readonly Write[] = [
        { key: clusterKey, value: cluster },
        { key: configKey, value: config },
        { key: memberKey(record.id), value: record },
        { key: nameKey(record.name), value: record.id },
        { key: podSubnetKey(0), value: record.id },
      ];
      const guards = writes.map(({ key }) => ({ key, seen: undefined }));
      if ((await store.swap(guards, writes, signal)) !== undefined) return;
      const existing = await store.read<ClusterRecord>(clusterKey, signal);
      // The answer to an earlier attempt of ours may have been lost.
      if (existing?.value.id === cluster.id) return;
      throw new AppError(
        "conflict",
        `cannot record the cluster: the datastore holds another one, ${existing?.value.id ?? "unknown"}`,
        {
          field: "datastore-servers",
          remedy: "Use an empty datastore, or one whose keys below k8sd/ and /registry may be deleted and are.",
        },
      );
    },
    cluster: async (signal) => (await store.read<ClusterRecord>(clusterKey, signal))?.value,
    config: async (signal) => (await store.read<ClusterConfig>(configKey, signal))?.value,
    members: async (signal) => (await store.list<StoredMember>(membersPrefix, signal)).map(memberOf),
    member,
    memberNamed: async (name, signal) => {
      const owner = await store.read<string>(nameKey(name), signal);
      return owner && member(owner.value, signal);
    },
    update: (id, update, signal) =>
      untilSwapped("change the record of a member", signal, async () => {
        const key = memberKey(id);
        const seen = await store.read<StoredMember>(key, signal);
        if (seen === undefined) throw new AppError("not-found", `cannot change the record: no member has the id ${id}`);
        if (seen.value.state === "removed") {
          throw new AppError("conflict", `cannot change the record of node ${seen.value.name}: it was removed`);
        }
        const next = { ...seen.value, ...update };
        const revision = await store.swap([{ key, seen }], [{ key, value: next }], signal);
        return revision === undefined ? undefined : { ...next, revision };
      }),
    leave: (id, at, signal, removal) =>
      untilSwapped("record that a member leaves", signal, async () => {
        const all = await store.list<StoredMember>(membersPrefix, signal);
        const seen = all.find(({ value }) => value.id === id);
        if (seen === undefined) throw new AppError("not-found", `cannot leave: no member has the id ${id}`);
        const next = leaving(seen.value, at, removal);
        if (next === undefined) return memberOf(seen);
        const key = memberKey(id);
        const revision = await store.swap([{ key, seen }, ...staying(seen.value, all)], [{ key, value: next }], signal);
        return revision === undefined ? undefined : { ...next, revision };
      }),
    remove: (id, at, signal) =>
      untilSwapped("record that a member is removed", signal, async () => {
        const key = memberKey(id);
        const seen = await store.read<StoredMember>(key, signal);
        if (seen === undefined) throw new AppError("not-found", `cannot remove: no member has the id ${id}`);
        if (seen.value.state === "removed") return memberOf(seen);
        const next = tombstone(seen.value, at);
        const hold = await heldFor(seen.value, signal);
        const writes: readonly Write[] = [{ key, value: next }, ...freed(seen.value), ...hold.writes];
        const revision = await store.swap([{ key, seen }, ...hold.guards], writes, signal);
        return revision === undefined ? undefined : { ...next, revision };
      }),
    beginEpoch: (epoch, recovery, signal) =>
      untilSwapped("begin a new epoch of the cluster", signal, async () => {
        const seen = await store.read<ClusterRecord>(clusterKey, signal);
        if (seen === undefined) throw new AppError("not-found", "cannot begin a new epoch: no cluster is recorded");
        if (seen.value.epoch >= epoch) return seen.value;
        const next: ClusterRecord = { ...seen.value, epoch, recovery };
        const revision = await store.swap([{ key: clusterKey, seen }], [{ key: clusterKey, value: next }], signal);
        return revision === undefined ? undefined : next;
      }),
    setEngine: async ({ type, servers }, signal) => {
      await untilSwapped("record the datastore's engine", signal, async () => {
        const seen = await store.read<ClusterConfig>(configKey, signal);
        if (seen === undefined) throw new AppError("not-found", "cannot record the engine: no cluster is recorded");
        const { "external-servers": known, ...datastore } = seen.value.datastore;
        if (datastore.type === type && isDeepStrictEqual(known, servers)) return seen.revision;
        const named = servers === undefined ? {} : { "external-servers": [...servers] };
        const value = { ...seen.value, datastore: { ...datastore, type, ...named } };
        return store.swap([{ key: configKey, seen }], [{ key: configKey, value }], signal);
      });
    },
    changes: (options) => ledgerChanges(datastore, options),
  };
}

/** What a node gives back that goes out: only its own, which nobody else can have taken while it was recorded. */
export function freed({ name, podSubnetIndex }: StoredMember): readonly Write[] {
  return [
    { key: nameKey(name), value: undefined },
    ...(podSubnetIndex === undefined ? [] : [{ key: podSubnetKey(podSubnetIndex), value: undefined }]),
  ];
}

/** @returns undefined where it goes already, in the way that is wanted */
function leaving(member: StoredMember, at: number, removal: Removal | undefined): StoredMember | undefined {
  const how = removal === undefined ? {} : { removal };
  if (member.state === "removed") return undefined;
  if (member.state !== "leaving") return { ...moved(member, "leaving", at), ...how };
  return removal === undefined ? undefined : { ...member, removal };
}

/** Another control plane, which stays while this one goes: of those that go at once, one must find that it is the last. */
function staying(member: StoredMember, all: readonly Stored<StoredMember>[]): readonly Guard[] {
  if (member.role !== "control-plane" || member.state !== "active") return [];
  const other = all.find(
    ({ value: { id, role, state } }) => id !== member.id && role === "control-plane" && state === "active",
  );
  if (other !== undefined) return [{ key: memberKey(other.value.id), seen: other }];
  throw new AppError(
    "conflict",
    `cannot take out ${member.name}: it is the last control plane, and the cluster with it`,
    {
      remedy: "Join another control plane first, or end the cluster with 'k8s leave --force' on this node.",
    },
  );
}
