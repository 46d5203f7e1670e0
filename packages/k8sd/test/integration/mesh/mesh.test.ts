import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { introduce, startCluster, startNode, stateOf, type TestNode } from "./cluster.ts";

const within = (seconds: number) => ({ timeout: seconds * 1000, interval: 50 });

async function allAlive(nodes: readonly TestNode[]): Promise<void> {
  await vi.waitFor(() => {
    for (const observer of nodes) for (const subject of nodes) expect(stateOf(observer, subject)).toBe("alive");
  }, within(15));
}

function never(): AbortSignal {
  return new AbortController().signal;
}

describe("a mesh of real nodes", () => {
  test("finds everybody, measures round trips, and carries a ledger change to all", async () => {
    await using nodes = await startCluster(4);
    await allAlive(nodes);
    const [author, ...others] = nodes;
    const records = [{ key: "members/1", value: "one", revision: 7 }];
    expect(author?.mesh.publish({ epoch: 1, revision: 7, records })).toBe(true);
    await vi.waitFor(() => {
      for (const { mesh } of others) {
        expect(mesh.replica.head).toEqual({ epoch: 1, revision: 7 });
        expect(mesh.replica.entries.get("members/1")?.value).toBe("one");
      }
    }, within(5));
    await vi.waitFor(() => {
      const measured = [...(others[0]?.mesh.view().values() ?? [])].filter(({ rttMs }) => rttMs !== undefined);
      expect(measured.length).toBe(3);
    }, within(10));
  });

  test("where each watches only some, a report still has everybody's round trip", async () => {
    await using nodes = await startCluster(6, { watchesAllUpTo: 0, rings: 1, anyProbeEvery: 1_000_000 });
    await allAlive(nodes);
    const [first] = nodes;
    const measured = [...(first?.mesh.view().values() ?? [])].filter(({ rttMs }) => rttMs !== undefined);
    expect(measured.length).toBeLessThan(5);
    const report = (await first?.mesh.report(never())) ?? [];
    expect(report.map(({ rttMs }) => rttMs)).toEqual(Array.from({ length: 5 }, () => expect.any(Number)));
  });

  test("one that is new in the ledger speaks first: nobody takes it for dead before its time is over", async () => {
    await using nodes = await startCluster(3);
    await allAlive(nodes);
    const newcomer = await startNode({ author: false });
    await newcomer.mesh.stop();
    const members = [...nodes, newcomer].map(({ member }) => member);
    const [first, ...others] = nodes as unknown as [TestNode, TestNode, TestNode];
    const asked = Date.now();
    for (const { mesh } of nodes) mesh.setMembers(members);
    // Others are probed meanwhile, each several times.
    await vi.waitFor(() => {
      for (const other of others)
        expect(first.mesh.view().get(other.id)?.lastContact ?? 0).toBeGreaterThan(asked + 3_000);
    }, within(20));
    for (const observer of nodes) expect(stateOf(observer, newcomer)).toBe("unknown");
    const returned = await startNode({ author: false, like: newcomer });
    returned.mesh.setMembers([returned.member, ...nodes.map(({ member }) => member)]);
    await allAlive([...nodes, returned]);
    await returned.mesh.stop();
  });

  test("one that never speaks is dead when its time is over", async () => {
    await using nodes = await startCluster(3, { newcomerMs: 500 });
    await allAlive(nodes);
    const newcomer = await startNode({ author: false });
    await newcomer.mesh.stop();
    for (const { mesh } of nodes) mesh.setMembers([...nodes, newcomer].map(({ member }) => member));
    await vi.waitFor(() => {
      for (const observer of nodes) expect(stateOf(observer, newcomer)).toBe("dead");
    }, within(20));
  });

  test("who starts after them waits for those that came just now, not for those that came long ago", async () => {
    await using nodes = await startCluster(2);
    const ghosts = await Promise.all([startNode({ author: false }), startNode({ author: false })]);
    for (const { mesh } of ghosts) await mesh.stop();
    const [fresh, old] = ghosts as [TestNode, TestNode];
    const late = await startNode({ author: false });
    const came = { ...fresh.member, cameAt: Date.now() };
    late.mesh.setMembers([late.member, ...nodes.map(({ member }) => member), came, { ...old.member, cameAt: 0 }]);
    await vi.waitFor(() => expect(stateOf(late, old)).toBe("dead"), within(20));
    expect(stateOf(late, fresh)).toBe("unknown");
    await late.mesh.stop();
  });

  test("a worker cannot author", async () => {
    await using nodes = await startCluster(2);
    expect(() => nodes[1]?.mesh.publish({ epoch: 1, revision: 1, records: [] })).toThrow(/not a control plane/);
  });

  test("a copy that is larger than a message arrives whole", async () => {
    await using nodes = await startCluster(3);
    await allAlive(nodes);
    const value = "x".repeat(10_000);
    const records = Array.from({ length: 40 }, (_, index) => ({ key: `members/${index}`, value, revision: 3 }));
    nodes[0]?.mesh.publish({ epoch: 1, revision: 3, records });
    await vi.waitFor(() => {
      for (const { mesh } of nodes) expect(mesh.replica.entries.size).toBe(40);
    }, within(10));
  });

  test("a stranger is refused, and is told so", async () => {
    await using nodes = await startCluster(2);
    await allAlive(nodes);
    const stranger = await startNode({ author: true });
    try {
      // It knows everything of the cluster but is not in the ledger.
      stranger.mesh.setMembers([stranger.member, ...nodes.map(({ member }) => member)]);
      stranger.mesh.publish({ epoch: 9, revision: 9, records: [] });
      const report = await stranger.mesh.report(never());
      expect(report.map(({ problem }) => problem?.reason)).toEqual(["not-a-member", "not-a-member"]);
      for (const { mesh } of nodes) {
        expect(mesh.view().has(stranger.id)).toBe(false);
        expect(mesh.replica.head).toEqual({ epoch: 0, revision: 0 });
      }
    } finally {
      await stranger.mesh.stop();
    }
  });

  test("a node that stops without a word is dead, one that leaves has left, and both can come back", async () => {
    await using nodes = await startCluster(4);
    await allAlive(nodes);
    const [first, second, third, fourth] = nodes as unknown as [TestNode, TestNode, TestNode, TestNode];
    await fourth.mesh.leave();
    await fourth.mesh.stop();
    await vi.waitFor(() => expect(stateOf(first, fourth)).toBe("left"), within(5));
    await third.mesh.stop();
    await vi.waitFor(() => {
      for (const observer of [first, second]) expect(stateOf(observer, third)).toBe("dead");
    }, within(12));
    expect([first, second].map((observer) => stateOf(observer, fourth))).toEqual(["left", "left"]);
    const again = await startNode({ author: false, like: third });
    nodes[2] = again;
    introduce([first, second, again, fourth]);
    await vi.waitFor(() => expect(stateOf(first, again)).toBe("alive"), within(10));
  });

  test("what an author signed that is out by now is superseded, in whatever epoch it was", async () => {
    await using nodes = await startCluster(3);
    const [first, second, worker] = nodes as unknown as [TestNode, TestNode, TestNode];
    second.member = { ...second.member, author: true };
    introduce(nodes);
    await allAlive(nodes);
    const records = (value: string) => [{ key: "members/1", value, revision: 5 }];
    // One side of the cluster was recovered, and is given up then.
    second.mesh.publish({ epoch: 2, revision: 5, records: records("given up") });
    await vi.waitFor(() => expect(worker.mesh.replica.head.epoch).toBe(2), within(5));
    expect(first.mesh.publish({ epoch: 1, revision: 8, records: records("goes on") })).toBe(false);
    await second.mesh.stop();
    introduce([first, worker]);
    expect(worker.mesh.replica.head).toEqual({ epoch: 0, revision: 0 });
    expect(first.mesh.publish({ epoch: 1, revision: 8, records: records("goes on") })).toBe(true);
    await vi.waitFor(() => expect(worker.mesh.replica.entries.get("members/1")?.value).toBe("goes on"), within(5));
  });

  test("a partition that ends heals by itself, and who missed a change has it then", async () => {
    await using nodes = await startCluster(3);
    await allAlive(nodes);
    const [first, second, third] = nodes as unknown as [TestNode, TestNode, TestNode];
    const all = nodes.map(({ member }) => member);
    // Each side forgets the other: connections are closed and refused, as a firewall would.
    first.mesh.setMembers(all.slice(0, 2));
    second.mesh.setMembers(all.slice(0, 2));
    await vi.waitFor(() => expect(stateOf(third, first)).toBe("dead"), within(15));
    first.mesh.publish({ epoch: 1, revision: 5, records: [] });
    await vi.waitFor(() => expect(second.mesh.replica.head.revision).toBe(5), within(5));
    expect(third.mesh.replica.head.revision).toBe(0);
    introduce(nodes);
    await allAlive(nodes);
    await vi.waitFor(() => expect(third.mesh.replica.head.revision).toBe(5), within(5));
  });

  test("a worker comes back when all addresses but one have changed [F40] [J58]", async () => {
    await using nodes = await startCluster(3);
    await allAlive(nodes);
    const [first, second, worker] = nodes as unknown as [TestNode, TestNode, TestNode];
    await Promise.all([worker.mesh.stop(), first.mesh.stop()]);
    // `first` has a new port now; the ledger and the worker's cache still hold the old one.
    nodes[0] = await startNode({ author: true, like: first });
    const stale = [first, second, worker].map(({ member }) => member);
    nodes[0].mesh.setMembers(stale);
    await vi.waitFor(() => expect(stateOf(second, first)).toBe("alive"), within(10));
    nodes[2] = await startNode({ author: false, like: worker });
    nodes[2].mesh.setMembers(stale);
    const returned = nodes[2];
    const contact = () => returned.mesh.view().get(first.id)?.lastContact;
    await vi.waitFor(() => expect(contact()).toBeDefined(), within(15));
  });

  test("a connection that swallows everything is made anew", async () => {
    await using nodes = await startCluster(2);
    const [first, second] = nodes as unknown as [TestNode, TestNode];
    await using way = await swallowingWay(second.mesh.port);
    // Only the first one can dial, and only over the way that will swallow.
    first.mesh.setMembers([first.member, { ...second.member, addresses: [`127.0.0.1:${way.port}`] }]);
    second.mesh.setMembers([{ ...first.member, addresses: [] }, second.member]);
    await allAlive(nodes);
    const swallowedAt = Date.now();
    way.swallow();
    await vi.waitFor(() => expect(stateOf(first, second)).toBe("dead"), within(15));
    const contact = () => second.mesh.view().get(first.id)?.lastContact ?? 0;
    await vi.waitFor(() => expect(contact()).toBeGreaterThan(swallowedAt + 1_000), within(15));
    await allAlive(nodes);
  });

  test("a node whose clock is far ahead is no peer, and the report says that it is the clock", async () => {
    await using nodes = await startCluster(1);
    const [node] = nodes as unknown as [TestNode];
    const ahead = await startNode({ author: false, bornAt: new Date(Date.now() + 2 * 3_600_000) });
    try {
      introduce([node, ahead]);
      expect(await reasons(node)).toEqual({ [ahead.id]: "clock" });
    } finally {
      await ahead.mesh.stop();
    }
  });

  test("the report says why a peer cannot be reached [J59]", async () => {
    await using nodes = await startCluster(1);
    const [node] = nodes as unknown as [TestNode];
    const [ghost, nameless] = await Promise.all([startNode({ author: false }), startNode({ author: false })]);
    await Promise.all([ghost.mesh.stop(), nameless.mesh.stop()]);
    await using other = await listener();
    const peers = [
      { ...ghost.member, id: "tcp" },
      { ...nameless.member, id: "dns", addresses: ["no-such-host.invalid:6401"] },
    ];
    node.mesh.setMembers([node.member, ...peers]);
    expect(await reasons(node)).toEqual({ tcp: "tcp", dns: "dns" });
    node.mesh.setMembers([node.member, { ...ghost.member, id: "tls", addresses: [`127.0.0.1:${other.port}`] }]);
    expect(await reasons(node)).toEqual({ tls: "tls" });
  });
});

async function reasons(node: TestNode): Promise<Record<string, string | undefined>> {
  const report = await node.mesh.report(never());
  return Object.fromEntries(report.map(({ id, problem }) => [id, problem?.reason]));
}

/** Something that listens and is no mesh: it hangs up on whoever talks. */
async function listener(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: async () => {
      await new Promise<unknown>((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** Leads to a port of the loopback; what is open when it swallows stays open, and nothing comes out of it any more. */
async function swallowingWay(to: number): Promise<AsyncDisposable & { readonly port: number; swallow(): void }> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const server = createServer((from) => {
    const onward = connect(to, "127.0.0.1");
    pairs.add([from, onward]);
    for (const socket of [from, onward]) socket.on("error", () => socket.destroy());
    from.pipe(onward).pipe(from);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const swallowed: (readonly [Socket, Socket])[] = [];
  return {
    port: (server.address() as AddressInfo).port,
    swallow: () => {
      for (const pair of pairs) {
        swallowed.push(pair);
        for (const socket of pair) socket.unpipe().on("data", () => {});
      }
      pairs.clear();
    },
    [Symbol.asyncDispose]: async () => {
      for (const pair of [...pairs, ...swallowed]) for (const socket of pair) socket.destroy();
      await new Promise<unknown>((resolve) => {
        server.close(resolve);
      });
    },
  };
}
