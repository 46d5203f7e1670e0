import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { clusterKey, memberKey, nameKey, type StoredMember } from "../../../src/cluster/ledger-records.ts";
import { type JoinTokenRecord, tokenKey } from "../../../src/cluster/tokens-rules.ts";
import { pkiFiles } from "../../../src/components/certificates.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import type { Datastore } from "../../../src/datastore/datastore.ts";
import { bootstrap, createNode, joinCluster, membersOf, type TestNode, token } from "./nodes.ts";

/** The founder's datastore, to make of its copy an older one. */
async function datastoreOf({ paths }: TestNode): Promise<Datastore> {
  const read = (path: string) => readFile(path, "utf8");
  const args = await read(join(paths.args, "k8s-datastore"));
  const port = /--listen-client-urls=\S*?:(\d+)/.exec(args)?.[1];
  const [ca, cert, key] = await Promise.all(
    [pkiFiles(paths).etcdCa.crt, paths.datastoreClientCert, paths.datastoreClientKey].map(read),
  );
  const tls = { ca: ca ?? "", cert: cert ?? "", key: key ?? "" };
  return createEtcdClient({ endpoints: [`https://127.0.0.1:${port}`], tls });
}

async function change<T>(datastore: Datastore, key: string, to: (value: T) => T | undefined): Promise<void> {
  const { kvs } = await datastore.range({ key });
  const next = to(JSON.parse(Buffer.from(kvs[0]?.value ?? "").toString()) as T);
  const op = next === undefined ? ({ op: "delete", range: { key } } as const) : undefined;
  await datastore.txn({ success: [op ?? { op: "put", key, value: JSON.stringify(next) }] });
}

const idOf = async (founder: TestNode, name: string): Promise<string> => {
  const { json } = await founder.call("GET", "/1.0/k8sd/members");
  const { members } = json.metadata as { members: { id: string; name: string }[] };
  return members.find((member) => member.name === name)?.id ?? "";
};

const membership = async (node: TestNode): Promise<string> => {
  const { json } = await node.call("GET", "/1.0/k8sd/cluster");
  const { status } = json.metadata as { status: { conditions: { name: string; reason: string; message: string }[] } };
  const found = status.conditions.find(({ name }) => name === "Membership");
  return found === undefined ? "" : `${found.reason}: ${found.message}`;
};
const isMember = async (node: TestNode) => (await node.call("GET", "/1.0/k8sd/node")).status === 200;

test("[C25] after a recovery from an older copy no node that it does not know undoes itself: it says what to do, or ends its join once more", async () => {
  await using founder = await createNode("n1");
  await bootstrap(founder);
  await using later = await createNode("later");
  await using again = await createNode("again");
  await using joining = await createNode("joining");
  const order = { name: "", worker: true, ttl: 0, uses: 3 };
  const joinToken = await token(founder, order);
  for (const node of [later, again, joining]) expect((await joinCluster(node, joinToken)).json.error).toBe("");
  const ids = await Promise.all(["later", "again", "joining"].map((name) => idOf(founder, name)));
  const [laterId = "", againId = "", joiningId = ""] = ids;
  await using datastore = await datastoreOf(founder);
  let tokenId = "";
  await change<StoredMember>(datastore, memberKey(joiningId), (member) => {
    tokenId = member.token ?? "";
    return { ...member, state: "joining" };
  });
  await change<JoinTokenRecord>(datastore, tokenKey(tokenId), (record) => ({
    ...record,
    used: record.used - 1,
    holds: { [joiningId]: Date.now() + 600_000 },
  }));
  await change<StoredMember>(datastore, memberKey(againId), (member) => ({
    ...member,
    state: "removed",
    incarnation: 0,
  }));
  await change<StoredMember>(datastore, memberKey(laterId), () => undefined);
  await change(datastore, nameKey("later"), () => undefined);
  await change<{ epoch: number }>(datastore, clusterKey, (cluster) => ({ ...cluster, epoch: 2 }));

  const told = /^RecoveredFromOlderCopy: .*epoch 2.*'k8s leave' on this node/;
  for (const node of [later, again]) await expect.poll(() => membership(node), { timeout: 20_000 }).toMatch(told);
  await expect.poll(() => membersOf(founder), { timeout: 20_000 }).toMatchObject({ joining: "active" });
  for (const node of [later, again, joining]) expect(await isMember(node)).toBe(true);

  // What it says is what helps.
  await later.call("POST", "/1.0/k8sd/cluster/leave", { force: false, timeout: 0 });
  await expect.poll(() => isMember(later), { timeout: 20_000 }).toBe(false);
  expect((await joinCluster(later, await token(founder, order))).json.error).toBe("");
  expect(await membersOf(founder)).toMatchObject({ n1: "active", later: "active", joining: "active" });
  expect(await membership(later)).toBe("");
}, 120_000);
