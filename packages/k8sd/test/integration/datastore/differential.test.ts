import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Channel, openChannel } from "../../../src/datastore/channel.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import type { WatchEvent } from "../../../src/datastore/datastore.ts";
import * as wire from "../../../src/datastore/gen/etcd.ts";
import { startEngine, temporaryFolder } from "./support/engine-process.ts";
import { findProgram, startEtcd } from "./support/etcd-process.ts";
import { createProgram, createRandom, type Operation } from "./support/random-program.ts";

const etcd = findProgram("etcd");
if (!etcd) process.stderr.write("skipped: no etcd in K8SD_TEST_ETCD or PATH to compare with\n");
const operations = Number(process.env.K8SD_DIFF_OPERATIONS ?? 2_000);
const seed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** What a client can see of an answer: everything but who gave it. */
async function observe(channel: Channel, { call, request }: Operation): Promise<unknown> {
  try {
    switch (call) {
      case "range":
        return seen(await channel.unary("", "/etcdserverpb.KV/Range", wire.RangeRequest, wire.RangeResponse, request));
      case "put":
        return seen(await channel.unary("", "/etcdserverpb.KV/Put", wire.PutRequest, wire.PutResponse, request));
      case "delete": {
        const { DeleteRangeRequest, DeleteRangeResponse } = wire;
        return seen(
          await channel.unary("", "/etcdserverpb.KV/DeleteRange", DeleteRangeRequest, DeleteRangeResponse, request),
        );
      }
      case "txn":
        return seen(await channel.unary("", "/etcdserverpb.KV/Txn", wire.TxnRequest, wire.TxnResponse, request));
      case "compact": {
        const { CompactionRequest, CompactionResponse } = wire;
        return seen(
          await channel.unary("", "/etcdserverpb.KV/Compact", CompactionRequest, CompactionResponse, request),
        );
      }
      case "grant": {
        const { LeaseGrantRequest, LeaseGrantResponse } = wire;
        return seen(
          await channel.unary("", "/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest, LeaseGrantResponse, request),
        );
      }
      case "revoke": {
        const { LeaseRevokeRequest, LeaseRevokeResponse } = wire;
        return seen(
          await channel.unary("", "/etcdserverpb.Lease/LeaseRevoke", LeaseRevokeRequest, LeaseRevokeResponse, request),
        );
      }
      case "life": {
        const { LeaseTimeToLiveRequest, LeaseTimeToLiveResponse } = wire;
        const path = "/etcdserverpb.Lease/LeaseTimeToLive";
        const answer = await channel.unary("", path, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, request);
        // The remaining life depends on the moment, the order of keys on chance.
        answer.keys.sort(Buffer.compare);
        return seen({ ...answer, ttl: Math.sign(answer.ttl) });
      }
    }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

function seen(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (name, field) => {
      if (typeof field === "bigint") return field.toString();
      if (name === "header") return field?.revision;
      return field?.type === "Buffer" ? Buffer.from(field.data).toString("latin1") : field;
    }),
  );
}

async function eventsUpTo(endpoint: string, from: number, revision: number): Promise<unknown> {
  await using store = createEtcdClient({ endpoints: [endpoint] });
  const signal = AbortSignal.timeout(10_000);
  const events: WatchEvent[] = [];
  for await (const batch of store.watch({ prefix: "" }, { from, signal, prevKv: true })) {
    if (batch.kind === "compacted") return batch;
    if (batch.kind === "events") events.push(...batch.events);
    const last = events.at(-1);
    if (last && (last.type === "put" ? last.kv.modRevision : last.revision) >= revision) break;
  }
  return seen(events);
}

describe.skipIf(!etcd)(`the engine beside real etcd, seed ${seed}`, () => {
  test(`${operations} random operations give the same answers, errors and events`, { timeout: 300_000 }, async () => {
    await using folder = await temporaryFolder();
    await using real = await startEtcd(etcd ?? "", join(folder.path, "etcd"));
    await using ours = await startEngine([
      ...["--data-dir", join(folder.path, "ours"), "--listen-client-urls", "http://127.0.0.1:0"],
    ]);
    using clients = new DisposableStack();
    const open = (endpoint: string) =>
      clients.adopt(openChannel({ endpoints: [endpoint] }), (channel) => channel.close());
    const [theirChannel, ourChannel] = [open(real.endpoint), open(ours.endpoint)];
    const status: Operation = {
      call: "range",
      request: { ...wire.RangeRequest.decode(new Uint8Array()), key: Buffer.from("a") },
    };
    await expect.poll(() => observe(theirChannel, status), { timeout: 20_000 }).toHaveProperty("header");

    let revision = 1;
    const next = createProgram(createRandom(seed), () => revision);
    for (let done = 0; done < operations; done++) {
      const operation = next();
      const [theirs, mine] = await Promise.all([observe(theirChannel, operation), observe(ourChannel, operation)]);
      expect(mine, `seed ${seed}, operation ${done}: ${JSON.stringify(seen(operation))}`).toEqual(theirs);
      const header = (theirs as { header?: number }).header;
      if (header) revision = header;
    }
    const from = Math.max(1, revision - 200);
    const marker: Operation = {
      call: "put",
      request: { ...wire.PutRequest.decode(new Uint8Array()), key: Buffer.from("z") },
    };
    await Promise.all([observe(theirChannel, marker), observe(ourChannel, marker)]);
    const [theirs, mine] = await Promise.all([
      eventsUpTo(real.endpoint, from, revision + 1),
      eventsUpTo(ours.endpoint, from, revision + 1),
    ]);
    expect(mine).toEqual(theirs);
  });
});
