import type { CommitQueue } from "./commit-queue.ts";
import type { Compactor } from "./compactor.ts";
import type { Lessor } from "./lessor.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Room } from "./room.ts";
import type { ReadView } from "./store.ts";
import type { TxnStore } from "./txn.ts";
import type { WatchHub } from "./watch-hub.ts";

/**
 * What the etcd v3 calls need of a store; docs/adr/0006 says why it is cut here. The work of a request is written once, without
 * waits. A store at hand runs it where it is called; one behind a network fetches what it reads and runs it again, so it must
 * do nothing but read and write through its view.
 */
export interface Backend {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The newest published revision; never behind one that a client of this server was told of by a write. */
  revision(): number;
  /** Runs on one state that has all that was acknowledged before the call. */
  read<T>(run: (view: ReadView) => T): T | Promise<T>;
  /** For the work given to the queue. */
  readonly running: TxnStore;
  readonly queue: Pick<CommitQueue, "submit">;
  readonly hub: WatchHub;
  /** Waits until what other servers acknowledged before now is published; undefined when there are no others. Never fails. */
  caughtUp(): Promise<void> | undefined;
  readonly lessor: Lessor;
  readonly compactor: Pick<Compactor, "compact">;
  readonly room: Room;
  readonly maintenance: Maintenance;
  stop(): Promise<void>;
}
