import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bytes, defaults, type EtcdCalls, etcdCalls } from "./support/etcd-calls.ts";
import { openConnection } from "./support/grpc-client.ts";
import { startEngine, temporaryFolder } from "./support/servers.ts";
import { mountSmallDisk } from "./support/small-disk.ts";

/** More would be more than the disk has. */
const mostPuts = 20_000;

test("the engine starts on a disk without a byte left, with all that it acknowledged", async (context) => {
  await using folder = await temporaryFolder();
  const dataDir = join(folder.path, "disk");
  mkdirSync(dataDir);
  await using disk = await mountSmallDisk(dataDir, 64);
  if (!disk) return context.skip("needs CAP_SYS_ADMIN to mount a small disk");
  let acknowledged = 0;
  // Ever smaller values use the log up to its last page.
  for (const size of [24_000, 1_000, 1]) {
    await using engine = await startEngine({ dataDir: join(dataDir, "data"), within: disk.within });
    using connection = disposable(openConnection(engine.endpoint));
    const calls = etcdCalls(connection);
    expect(await count(calls)).toBe(acknowledged);
    disk.fill();
    acknowledged += await putUntilRefused(calls, acknowledged, size);
    await engine.kill("SIGKILL");
  }
  // Each start by itself needs no room: a service manager does it again and again.
  for (let start = 0; start < 8; start++) {
    await using engine = await startEngine({ dataDir: join(dataDir, "data"), within: disk.within });
    await engine.kill("SIGKILL");
  }
  await using engine = await startEngine({ dataDir: join(dataDir, "data"), within: disk.within });
  using connection = disposable(openConnection(engine.endpoint));
  expect(await count(etcdCalls(connection))).toBe(acknowledged);
  disk.free();
  await etcdCalls(connection).put({ ...defaults.put, key: bytes("there is room again"), value: bytes("x") });
});

function disposable<C extends { close(): void }>(connection: C): C & Disposable {
  return Object.assign(connection, { [Symbol.dispose]: () => connection.close() });
}

async function putUntilRefused(calls: EtcdCalls, from: number, size: number): Promise<number> {
  const value = Buffer.alloc(size, "x");
  for (let done = 0; done < mostPuts; done++) {
    try {
      await calls.put({ ...defaults.put, key: bytes(`k${from + done}`), value });
    } catch {
      return done;
    }
  }
  throw new Error(`the disk is not full after ${mostPuts} values of ${size} bytes`);
}

async function count(calls: EtcdCalls): Promise<number> {
  const span = { key: bytes("k"), rangeEnd: bytes("l") };
  return Number((await calls.range({ ...defaults.range, ...span, countOnly: true })).count);
}
