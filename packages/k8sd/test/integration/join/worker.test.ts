import { access, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { success } from "@k8sd/api-types";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { loadNodeKey } from "../../../src/cluster/node-key.ts";
import { decodeJoinToken, encodeJoinToken } from "../../../src/cluster/tokens-encoding.ts";
import { listenTls } from "../../../src/http/listeners.ts";
import { call, fingerprint, keyPair } from "../http/fixtures.ts";
import { bootstrap, createNode, freePort, joinCluster, membersOf, type TestNode, token } from "./nodes.ts";

let founder: TestNode;
beforeAll(async () => {
  founder = await createNode("n1");
  await bootstrap(founder);
}, 60_000);
afterAll(() => founder[Symbol.asyncDispose]());

const worker = { name: "", worker: true, ttl: 0 };

describe("a worker", () => {
  test("joins, knows itself, and is known; a second join says so with 521", async () => {
    await using node = await createNode("w1");
    const answer = await joinCluster(node, await token(founder, worker));
    expect([answer.status, answer.json.error]).toEqual([200, ""]);
    expect(await membersOf(founder)).toMatchObject({ n1: "active", w1: "active" });
    const own = await node.call("GET", "/1.0/k8sd/node");
    expect(own.json.metadata).toMatchObject({
      status: { name: "w1", address: "127.0.0.1", "cluster-role": "worker" },
    });
    const again = await joinCluster(node, await token(founder, worker));
    expect([again.status, again.json.error]).toEqual([521, 'node "w1" is part of the cluster']);
    // What it became, it still is after a restart.
    await node.stop();
    await node.start();
    expect((await node.call("GET", "/1.0/k8sd/node")).status).toBe(200);
  });

  test("with its key gets from a control plane who is in, and nothing that is a control plane's", async () => {
    await using node = await createNode("w10");
    expect((await joinCluster(node, await token(founder, worker))).json.error).toBe("");
    const pair = (await loadNodeKey(node.paths.nodeKey)).certificate("w10", new Date());
    const client = { cert: pair.certificate, key: pair.key };
    const ask = async (method: string, path: string, body?: object) =>
      (await call(founder.address, method, `/1.0/k8sd${path}`, { client, ...(body === undefined ? {} : { body }) }))
        .status;
    expect(await ask("GET", "/members")).toBe(200);
    expect(await ask("GET", "/kubeconfig")).toBe(403);
    expect(await ask("POST", "/cluster/tokens", { name: "evil" })).toBe(403);
    expect(await ask("POST", "/cluster/remove", { name: "n1", force: true })).toBe(403);
    expect(await ask("POST", "/cluster/leave", { force: true })).toBe(403);
    expect(await ask("GET", "/datastore/seal-key")).toBe(403);
    expect(await ask("GET", "/operations")).toBe(403);
    expect(await membersOf(founder)).toMatchObject({ n1: "active", w10: "active" });
  });

  test("does not get in with a used token", async () => {
    const used = await token(founder, worker);
    await using first = await createNode("w2");
    await using second = await createNode("w3");
    expect((await joinCluster(first, used)).json.error).toBe("");
    const { status, json } = await joinCluster(second, used);
    expect(status).toBe(500);
    expect(json.error).toMatch(/^failed to join k8sd cluster as worker: .*the token is used up/);
    expect(await second.leftovers()).toEqual([]);
    expect(await membersOf(founder)).not.toHaveProperty("w3");
  });

  test("tells nothing to a server whose certificate is not the token's, and says that it is another [G46]", async () => {
    const port = await freePort();
    let asked = 0;
    const pair = keyPair("evil");
    const impostor = await listenTls({ host: "127.0.0.1", port, ...pair }, () => {
      asked += 1;
    });
    await using node = await createNode("w4");
    const ticket = decodeJoinToken(await token(founder, worker));
    const wrong = await joinCluster(node, encodeJoinToken({ ...ticket, addresses: [`127.0.0.1:${port}`] }));
    expect(wrong.json.error).toMatch(/cannot trust any control plane of the token: 127.0.0.1:\d+: it shows another/);
    expect(asked).toBe(0);
    // Beside a good address it is passed over.
    const both = { ...ticket, addresses: [`127.0.0.1:${port}`, "127.0.0.1:1", ...ticket.addresses] };
    expect((await joinCluster(node, encodeJoinToken(both))).json.error).toBe("");
    expect(asked).toBe(0);
    await impostor.close(0);
  });

  test("gives its place back also where it is cancelled before it has heard that it has one", async () => {
    await using node = await createNode("w11");
    const pair = keyPair("cp");
    const asked: string[] = [];
    const slow = await listenTls({ host: "127.0.0.1", port: await freePort(), ...pair }, (request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (part: string) => {
        body += part;
      });
      request.on("end", () => {
        asked.push(`${request.url} ${request.url?.endsWith("/advance") ? body : ""}`);
        if (request.url?.endsWith("/advance")) response.end(JSON.stringify(success({})));
      });
    });
    const ticket = {
      role: "worker",
      secret: "s",
      fingerprint: fingerprint(pair.cert),
      addresses: [slow.address],
    } as const;
    const joining = joinCluster(node, encodeJoinToken(ticket), { "x-request-id": "given-up" });
    await vi.waitFor(() => expect(asked).toEqual(["/1.0/k8sd/members/reserve "]), { timeout: 20_000 });
    expect((await node.call("DELETE", "/1.0/k8sd/operations/given-up")).json.error).toBe("");
    expect((await joining).json.error).toContain("cannot finish join: it was cancelled");
    expect(asked).toEqual(["/1.0/k8sd/members/reserve ", '/1.0/k8sd/members/advance {"action":"release"}']);
    await slow.close(0);
  });

  test("has its name in lower case, however it and the token write it", async () => {
    await using node = await createNode("NODE.lan");
    expect((await joinCluster(node, await token(founder, { ...worker, name: "Node.Lan" }))).json.error).toBe("");
    expect(await membersOf(founder)).toMatchObject({ "node.lan": "active" });
  });

  test("can ask again with the same request id, and gets the same join [A11]", async () => {
    await using node = await createNode("w5");
    const joinToken = await token(founder, worker);
    const headers = { "x-request-id": "join-w5" };
    const [one, other] = await Promise.all([
      joinCluster(node, joinToken, headers),
      joinCluster(node, joinToken, headers),
    ]);
    expect([one.json.error, other.json.error]).toEqual(["", ""]);
    expect((await joinCluster(node, joinToken, headers)).json.error).toBe("");
  });

  test("six at once all get in, each with its own part of the pod range", async () => {
    const joinToken = await token(founder, { ...worker, uses: 6 });
    await using stack = new AsyncDisposableStack();
    const nodes = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => createNode(`p${n}`)));
    for (const node of nodes) stack.use(node);
    const answers = await Promise.all(nodes.map((node) => joinCluster(node, joinToken)));
    expect(answers.map(({ json }) => json.error)).toEqual(nodes.map(() => ""));
    const { json } = await founder.call("GET", "/1.0/k8sd/members");
    const { members } = json.metadata as { members: { "pod-cidrs": string[] }[] };
    const ranges = members.flatMap((member) => member["pod-cidrs"]);
    expect(new Set(ranges).size).toBe(ranges.length);
  });
});

describe("a join that does not get through", () => {
  const steps = [
    "announce",
    "check-host",
    "create-directories",
    "write-certificates",
    "install-services",
    "open-listener",
    "admit",
  ];

  test.each(steps.map((title, step) => ({ title, step })))("at $title gives all of it back", async ({ step }) => {
    const joinToken = await token(founder, worker);
    await using node = await createNode("f1");
    await writeFile(join(node.faults, `fail-${step}-before-run`), "");
    expect((await joinCluster(node, joinToken)).json.error).toContain("fault injected");
    expect(await node.leftovers()).toEqual([]);
    expect(await membersOf(founder)).not.toHaveProperty("f1");
    // The token is free for anybody.
    await using other = await createNode(`g${step}`);
    expect((await joinCluster(other, joinToken)).json.error).toBe("");
    await rm(join(node.faults, `fail-${step}-before-run`));
  });

  test.each(steps.map((title, step) => ({ title, step })))(
    "when the daemon ends in $title is taken back or finished by the next start, and the same token goes on",
    async ({ step }) => {
      const joinToken = await token(founder, worker);
      await using node = await createNode(`r${step}`);
      const held = join(node.faults, `hold-${step}-before-run`);
      await writeFile(held, "");
      const running = joinCluster(node, joinToken).catch(() => undefined);
      const states = async () => (await membersOf(founder))[`r${step}`];
      await vi.waitFor(() => access(join(node.faults, `held-${step}-before-run`)), { timeout: 20_000 });
      expect(await states()).toBe(step === 0 ? "reserved" : "joining");
      const stopped = node.stop();
      await rm(held);
      await stopped;
      await running;
      await node.start();
      if (step === steps.length - 1) {
        // The cluster may have taken it in: it is asked again, not taken back.
        expect(await states()).toBe("active");
        expect((await node.call("GET", "/1.0/k8sd/node")).status).toBe(200);
        return;
      }
      expect(await node.leftovers()).toEqual([]);
      expect((await joinCluster(node, joinToken)).json.error).toBe("");
      expect(await states()).toBe("active");
    },
  );
});

describe("a control plane", () => {
  test("is refused where the cluster cannot leave sqlite, with the reason, and its token stays valid", async () => {
    await using node = await createNode("c2");
    const joinToken = await token(founder, { name: "c2", worker: false, ttl: 0 });
    const { status, json } = await joinCluster(node, joinToken);
    expect(status).toBe(500);
    expect(json.error).toMatch(
      /^failed to join k8sd cluster as control plane: .*cannot migrate the datastore to etcd: .*bin\/etcd is missing/,
    );
    expect(await node.leftovers()).toEqual([]);
    expect(await membersOf(founder)).not.toHaveProperty("c2");
    const tokens = (await founder.call("GET", "/1.0/k8sd/cluster/tokens")).json.metadata as {
      tokens: { name: string; state: string; joining: number }[];
    };
    expect(tokens.tokens.find(({ name }) => name === "c2")).toMatchObject({ state: "valid", joining: 0 });
  });
});
