import { setTimeout as pause } from "node:timers/promises";
import { alarmType } from "../../wire.ts";
import { etcdErrors } from "../etcd-error.ts";
import type { Room } from "../room.ts";
import type { Readers } from "./readers.ts";
import type { Writer } from "./writer.ts";

export interface RoomDeps {
  readonly writer: Pick<Writer, "running" | "submit">;
  readonly readers: Pick<Readers, "query">;
}

/** How late an alarm raised at another server, and the size, are known here. */
const lookMs = 2_000;
const facts = `SELECT pg_total_relation_size('history') + pg_total_relation_size('current'), array(SELECT kind FROM alarm)`;

/** How much the store takes and its alarms. There is no quota: how much there is room for is the database's own affair. */
export async function createRoom({ writer, readers }: RoomDeps): Promise<Room & { stop(): Promise<void> }> {
  const stopping = new AbortController();
  const { signal } = stopping;
  let bytes = 0;
  let raised = new Set<number>();

  async function look(): Promise<void> {
    const [row] = await readers.query((connection) => connection.rows(facts));
    const [size, kinds] = (row ?? []) as [number, number[]];
    bytes = size;
    raised = new Set(kinds);
  }
  async function keepLooking(): Promise<void> {
    while (!signal.aborted) {
      await pause(lookMs, undefined, { signal }).catch(() => {});
      // While the database is away the last facts stand.
      if (!signal.aborted) await look().catch(() => {});
    }
  }
  await look();
  const looking = keepLooking();

  return {
    quota: 0,
    size: () => ({ total: bytes, inUse: bytes }),
    alarms: () => [...raised],
    check() {
      if (raised.has(alarmType.noSpace)) throw etcdErrors.noSpace();
    },
    async raise(kind) {
      await writer.submit(() => writer.running.setAlarm(kind, true));
      raised.add(kind);
    },
    async clear(kind) {
      if (!raised.has(kind)) return false;
      await writer.submit(() => writer.running.setAlarm(kind, false));
      raised.delete(kind);
      return true;
    },
    async stop() {
      stopping.abort();
      await looking;
    },
  };
}
