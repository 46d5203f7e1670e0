import type { Member } from "./datastore.ts";

/** How a member is found: by etcd's own number, its node's name, or the URL its peers reach it at. */
export type MemberReference = { readonly id: bigint } | { readonly name: string } | { readonly peerUrl: string };

export type MemberHealth =
  | {
      readonly ok: true;
      readonly version: string;
      readonly leader: boolean;
      readonly raftIndex: number;
      readonly raftAppliedIndex: number;
      readonly dbSize: number;
      readonly dbSizeInUse: number;
      readonly answerMs: number;
    }
  | { readonly ok: false; readonly reason: string };

export interface EtcdMember extends Member {
  /** False until its process has run once and told the others its name and addresses. */
  readonly started: boolean;
  readonly health: MemberHealth;
}

/** What the voting members can still bear. */
export interface EtcdQuorum {
  readonly voters: number;
  readonly healthyVoters: number;
  /** As many must be healthy for a write. */
  readonly needed: number;
  readonly has: boolean;
  /** Healthy voters that may fail before writing stops. */
  readonly canLose: number;
}

export interface EtcdMemberList {
  readonly members: readonly EtcdMember[];
  readonly quorum: EtcdQuorum;
  readonly leader: bigint | undefined;
}

export interface MemberProgress {
  readonly done: number;
  readonly of: number;
  readonly note: string;
}

export interface MemberCall {
  readonly signal: AbortSignal;
  /** For the whole call with all that it waits for. */
  readonly timeoutMs?: number;
  readonly onProgress?: (progress: MemberProgress) => void;
}

export interface AddLearner extends MemberCall {
  readonly name: string;
  readonly peerUrls: readonly string[];
  /**
   * The node has no data of an earlier membership (a wiped or new machine): a member with its peer URL that already ran
   * is replaced, because a member that forgot what it confirmed breaks the log.
   */
  readonly fresh: boolean;
  /**
   * Asked about a learner that stands in the way: true takes it out. Whoever knows which joins were given up decides;
   * without this, the call waits for it.
   */
  readonly isAbandoned?: (learner: Member) => Promise<boolean>;
}

export interface RemoveMember extends MemberCall {
  /** Takes a healthy voter out even when the rest will then be too few to write. */
  readonly force?: boolean;
}

/** The members of a managed etcd. Every call tries every endpoint, may be repeated, and ends by its deadline. */
export interface EtcdMembers extends AsyncDisposable {
  /**
   * All members with their health. Answers without quorum too, from what a reachable member knows; `settled` asks for what
   * the quorum knows.
   */
  list(call: {
    readonly signal: AbortSignal;
    readonly timeoutMs?: number;
    readonly settled?: boolean;
  }): Promise<EtcdMemberList>;
  /**
   * Adds a member without a vote and gives it back; a member with these peer URLs is given back as it is. Waits its turn
   * while another learner is there, and for a cluster that cannot accept it now.
   */
  addLearner(call: AddLearner): Promise<Member>;
  /** Waits until the learner has all that was written when this was called. */
  awaitCaughtUp(id: bigint, call: MemberCall): Promise<void>;
  /** Gives a learner its vote once it is in step; one that has it already is done. */
  promote(id: bigint, call: MemberCall): Promise<Member>;
  /** Takes a member out; a leader hands over first. One that is not there is done. */
  remove(who: MemberReference, call: RemoveMember): Promise<"removed" | "absent">;
  /** For a node whose address changed. */
  setPeerUrls(id: bigint, peerUrls: readonly string[], call: MemberCall): Promise<void>;
}
