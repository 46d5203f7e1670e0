import { join } from "node:path";
import { WatchRequest, WatchResponse } from "@k8sd/k8sd/datastore/gen/etcd.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytes, defaults, etcdCalls, text } from "./support/etcd-calls.ts";
import { openConnection } from "./support/grpc-client.ts";
import { etcdPrograms, type Server, startEngine, startEtcd, temporaryFolder } from "./support/servers.ts";

/** What a client without special settings takes in one message: etcd's limit of a request and half a mebibyte. */
const fragmentBytes = 2 * 1024 * 1024;
const writes = 8;
const valueBytes = 700_000;

const cleanup = new AsyncDisposableStack();
const servers: Server[] = [];
beforeAll(async () => {
  const folder = cleanup.use(await temporaryFolder());
  const { etcd } = await etcdPrograms();
  servers.push(cleanup.use(await startEtcd(etcd, join(folder.path, "etcd"))));
  servers.push(cleanup.use(await startEngine({ dataDir: join(folder.path, "ours") })));
  for (const { endpoint } of servers) {
    const connection = openConnection(endpoint);
    for (let index = 0; index < writes; index++) {
      const value = Buffer.alloc(valueBytes, index);
      await etcdCalls(connection).put({ ...defaults.put, key: bytes(`k${index}`), value });
    }
    connection.close();
  }
});
afterAll(() => cleanup.disposeAsync());

interface Part {
  readonly bytes: number;
  readonly fragment: boolean;
  readonly keys: readonly string[];
}

/** The responses of a watch from the beginning, until all events came. */
function responses(endpoint: string, fragment: boolean): Promise<Part[]> {
  const connection = openConnection(endpoint);
  const parts: Part[] = [];
  return new Promise<Part[]>((resolve, reject) => {
    const stream = connection.stream("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse, {
      message({ events, fragment: isFragment }, size) {
        const keys = events.map(({ kv }) => text(kv?.key));
        if (keys.length > 0) parts.push({ bytes: size, fragment: isFragment, keys });
        if (parts.flatMap((part) => part.keys).length === writes) resolve(parts);
      },
      closed: (failure) => reject(failure ?? new Error("the watch ended")),
    });
    const everything = { key: bytes("\0"), rangeEnd: bytes("\0"), startRevision: 1, fragment };
    stream.send({ requestUnion: { $case: "createRequest", value: { ...defaults.watch, ...everything } } });
  }).finally(() => connection.close());
}

describe("a watch of more than one message holds", () => {
  test("comes in fragments of etcd's size, in the order of change, the last one marked as such", async () => {
    const [theirs = [], ours = []] = await Promise.all(servers.map(({ endpoint }) => responses(endpoint, true)));
    expect(ours.flatMap(({ keys }) => keys)).toEqual(theirs.flatMap(({ keys }) => keys));
    for (const parts of [theirs, ours]) {
      expect(parts.length).toBeGreaterThan(1);
      expect(parts.map((part) => part.fragment)).toEqual(parts.map((_, index) => index < parts.length - 1));
      for (const part of parts) expect(part.bytes).toBeLessThanOrEqual(fragmentBytes);
    }
  });

  test("comes in one for a client that did not ask for fragments", async () => {
    for (const parts of await Promise.all(servers.map(({ endpoint }) => responses(endpoint, false)))) {
      expect(parts).toHaveLength(1);
      expect(parts[0]?.fragment).toBe(false);
    }
  });
});
