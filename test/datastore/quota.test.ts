import { join } from "node:path";
import { alarmAction, alarmType } from "@k8sd/k8sd/datastore/wire.ts";
import { expect, test } from "vitest";
import { bytes, defaults, etcdCalls } from "./support/etcd-calls.ts";
import { type GrpcFailure, openConnection } from "./support/grpc-client.ts";
import { startEngine, temporaryFolder } from "./support/servers.ts";

const quota = 8 * 1024 * 1024;
const value = Buffer.alloc(100_000, 1);

test("a full quota raises NOSPACE, which refuses what needs room until there is some and it is disarmed", async () => {
  await using folder = await temporaryFolder();
  const options = { dataDir: join(folder.path, "data"), args: ["--quota-backend-bytes", String(quota)] };
  const first = await startEngine(options);
  let connection = openConnection(first.endpoint);
  let calls = etcdCalls(connection);
  const put = (name: string) =>
    calls.put({ ...defaults.put, key: bytes(name), value }).then(
      () => undefined,
      (error: unknown) => error as GrpcFailure,
    );

  let refused: GrpcFailure | undefined;
  let written = 0;
  for (; !refused && written < 500; written++) refused = await put(`k${written}`);
  expect(refused).toMatchObject({ code: 8, message: "etcdserver: mvcc: database space exceeded" });
  const alarms = async () =>
    (await calls.alarm({ action: alarmAction.get, memberId: 0n, alarm: alarmType.none })).alarms;
  expect(await alarms()).toMatchObject([{ alarm: alarmType.noSpace }]);
  expect((await calls.status({})).errors.join()).toContain("NOSPACE");
  await expect(calls.grant({ id: 1n, ttl: 60 })).rejects.toMatchObject({ code: 8 });
  expect((await calls.range({ ...defaults.range, key: bytes("k0") })).count).toBe(1);

  // It outlives a restart.
  connection.close();
  await first.kill("SIGKILL");
  await using second = await startEngine(options);
  connection = openConnection(second.endpoint);
  calls = etcdCalls(connection);
  expect(await alarms()).toMatchObject([{ alarm: alarmType.noSpace }]);
  expect(await put("again")).toMatchObject({ code: 8 });

  const { header, deleted } = await calls.remove({ ...defaults.remove, key: bytes("\0"), rangeEnd: bytes("\0") });
  expect(deleted).toBe(written - 1);
  await calls.compact({ revision: header?.revision ?? 0, physical: true });
  await calls.defragment({});
  expect((await calls.status({})).dbSize).toBeLessThan(quota / 2);
  expect(await put("before it is disarmed")).toMatchObject({ code: 8 });
  const disarmed = await calls.alarm({ action: alarmAction.deactivate, memberId: 0n, alarm: alarmType.noSpace });
  expect(disarmed.alarms).toMatchObject([{ alarm: alarmType.noSpace }]);
  expect(await put("after")).toBeUndefined();
  expect(await alarms()).toEqual([]);
  connection.close();
});
