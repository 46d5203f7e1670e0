import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { KeyValue } from "@k8sd/k8sd/datastore/gen/etcd.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom, type Random } from "./differential/program.ts";
import { bytes, defaults, type EtcdCalls, etcdCalls, text } from "./support/etcd-calls.ts";
import { openConnection } from "./support/grpc-client.ts";
import { etcdPrograms, startEngine, startEtcd, temporaryFolder } from "./support/servers.ts";

/** Many times what a list is read in; programs of the differential test have ten keys. */
const keys = 700;
const perTxn = 100;
const lists = 40;
const seed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));

const cleanup = new AsyncDisposableStack();
let etcd: EtcdCalls;
let ours: EtcdCalls;
beforeAll(async () => {
  const folder = cleanup.use(await temporaryFolder());
  const programs = await etcdPrograms();
  const servers = [
    cleanup.use(await startEtcd(programs.etcd, join(folder.path, "etcd"))),
    cleanup.use(await startEngine({ dataDir: join(folder.path, "ours") })),
  ];
  const connections = servers.map(({ endpoint }) => openConnection(endpoint));
  cleanup.defer(() => {
    for (const connection of connections) connection.close();
  });
  [etcd, ours] = connections.map(etcdCalls) as [EtcdCalls, EtcdCalls];
});
afterAll(() => cleanup.disposeAsync());

/** Any bytes, mostly a few, sometimes none, sometimes many pages. */
function value(random: Random): Buffer {
  const kind = random(10);
  const length = kind === 0 ? 0 : kind === 1 ? random(40_000) : random(300);
  return Buffer.from(Array.from({ length }, () => random(256)));
}

/** Many differ by zeros at their end alone: the least that one key can be after another. */
const name = (index: number): Buffer => {
  const base = Math.floor(index / 4);
  return Buffer.from([0xff, base >> 8, base & 0xff, ...Buffer.alloc(index % 4)]);
};

test("long lists are those of real etcd, of now and of before, from any key on and of any length", async () => {
  const random = createRandom(seed);
  let revision = 0;
  for (let round = 0; round < 2; round++) {
    for (let from = 0; from < keys; from += perTxn) {
      const success = Array.from({ length: perTxn }, (_, at) =>
        round === 1 && random(4) === 0
          ? { request: { $case: "requestDeleteRange" as const, value: { ...defaults.remove, key: name(from + at) } } }
          : {
              request: {
                $case: "requestPut" as const,
                value: { ...defaults.put, key: name(from + at), value: value(random) },
              },
            },
      );
      for (const each of [etcd, ours]) {
        revision = (await each.txn({ compare: [], success, failure: [] })).header?.revision ?? 0;
      }
    }
  }
  for (let list = 0; list < lists; list++) {
    const [one, other] = [random(keys), random(keys)];
    const request = {
      ...defaults.range,
      key: name(Math.min(one, other)),
      rangeEnd: random(4) === 0 ? bytes("\0") : name(Math.max(one, other) + 1),
      limit: random(3) === 0 ? random(keys) : 0,
      revision: random(2) === 0 ? 0 : revision - random(10),
      keysOnly: random(5) === 0,
      sortOrder: random(3),
    };
    const [wanted, found] = await Promise.all([etcd.range(request), ours.range(request)]);
    const same = [
      wanted.count === found.count,
      wanted.more === found.more,
      isDeepStrictEqual(wanted.kvs.map(readable), found.kvs.map(readable)),
    ];
    expect(same, `seed ${seed}, list ${list}, ${wanted.kvs.length} and ${found.kvs.length} keys`).toEqual([
      true,
      true,
      true,
    ]);
  }
});

const readable = ({ key, value, ...rest }: KeyValue) => ({ ...rest, key: text(key), value: text(value) });
