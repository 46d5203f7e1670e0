import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseEndpoints } from "../../../src/apiserver-proxy/endpoints-file.ts";
import { type ApiserverProxy, type ProxySettings, startProxy } from "../../../src/apiserver-proxy/proxy.ts";
import {
  type Backend,
  type Client,
  dialProxy,
  endpoints,
  quick,
  silent,
  startBackend,
  startFreezable,
} from "./servers.ts";

let cleanup: AsyncDisposableStack;
beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});
afterEach(() => cleanup.disposeAsync());

async function proxyTo(
  backends: readonly { text: string }[],
  over: Partial<ProxySettings> = {},
): Promise<ApiserverProxy> {
  const proxy = await startProxy({ ...quick, ...over }, silent);
  cleanup.defer(() => proxy.stop());
  if (backends.length > 0) proxy.set(endpoints(...backends.map(({ text }) => text)));
  return proxy;
}
const backend = async (name: string, serve?: (socket: Socket) => void): Promise<Backend> =>
  cleanup.use(await startBackend(name, serve));
async function dial(proxy: ApiserverProxy): Promise<Client> {
  const client = await dialProxy(proxy.port);
  cleanup.defer(() => void client.socket.destroy());
  return client;
}
/** True when it was reset. */
const closed = (socket: Socket) => new Promise<boolean>((resolve) => socket.once("close", resolve));
const live = (proxy: ApiserverProxy) =>
  proxy
    .stats()
    .backends.filter((one) => one.live)
    .map(({ endpoint }) => endpoint);

describe("bytes", () => {
  test("pass both ways unchanged, and a half-closed connection still brings the answer", async () => {
    const whole = await backend("whole", (socket) => {
      const parts: Buffer[] = [];
      socket.on("data", (part: Buffer) => parts.push(part));
      // Answers only after the end: without half-close there would be no answer.
      socket.on("end", () => socket.end(Buffer.concat(parts)));
    });
    const proxy = await proxyTo([whole]);
    const socket = connect({ port: proxy.port, host: "127.0.0.1" });
    const sent = Buffer.alloc(3_000_000, "0123456789abcdef-");
    socket.end(sent);
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer);
    expect(Buffer.concat(parts).equals(sent)).toBe(true);
    await expect.poll(() => proxy.stats().open).toBe(0);
  });

  test("wait for a slow reader: what is in flight stays small", async () => {
    let sent = 0;
    const endless = await backend("endless", (socket) => {
      const chunk = Buffer.alloc(64 * 1024);
      const more = () => {
        while (!socket.destroyed && socket.write(chunk)) sent += chunk.length;
        sent += chunk.length;
      };
      socket.on("drain", more);
      more();
    });
    // No looks at the backend: it would send to them too.
    const proxy = await proxyTo([endless], { checkMs: 60_000 });
    await expect.poll(() => sent > 0 && endless.sockets.size === 0).toBe(true);
    sent = 0;
    const socket = connect({ port: proxy.port, host: "127.0.0.1" });
    cleanup.defer(() => void socket.destroy());
    await once(socket, "connect");
    socket.pause();
    let before = -1;
    await expect
      .poll(
        () => {
          const stands = sent > 0 && sent === before;
          before = sent;
          return stands;
        },
        { interval: 200, timeout: 10_000 },
      )
      .toBe(true);
    // Four kernel buffers of loopback connections, which grow to some megabytes, and no more.
    expect(sent).toBeLessThan(32 * 1024 * 1024);
    socket.resume();
    await expect.poll(() => sent, { timeout: 10_000 }).toBeGreaterThan(before);
  });

  test("a reset is passed on as a reset, in both directions", async () => {
    const one = await backend("one");
    const proxy = await proxyTo([one]);
    const client = await dial(proxy);
    const failed = closed(client.socket);
    await one.kill();
    await expect(failed).resolves.toBe(true);

    await one.revive();
    await expect.poll(() => live(proxy)).toEqual([one.text]);
    const again = await dial(proxy);
    const [served] = one.sockets;
    const reset = served && closed(served);
    again.socket.resetAndDestroy();
    await expect(reset).resolves.toBe(true);
  });
});

describe("a set of API servers", () => {
  test("shares the connections evenly", async () => {
    const backends = await Promise.all(["a", "b", "c"].map((name) => backend(name)));
    const proxy = await proxyTo(backends);
    for (let count = 0; count < 9; count += 1) await dial(proxy);
    expect(proxy.stats().backends.map(({ connections }) => connections)).toEqual([3, 3, 3]);
  });

  test("one is killed: its connections are reset at once, those of others do not notice, new ones go elsewhere", async () => {
    const [a, b] = [await backend("a"), await backend("b")];
    const proxy = await proxyTo([a, b]);
    const clients = [await dial(proxy), await dial(proxy), await dial(proxy), await dial(proxy)];
    const ofA = clients.filter(({ name }) => name === "a");
    const ofB = clients.filter(({ name }) => name === "b");
    expect(ofA).toHaveLength(2);
    const cut = ofA.map(({ socket }) => closed(socket));
    await a.kill();
    await Promise.all(cut);
    for (const client of ofB) expect(await client.echo("still here")).toBe("still here");
    for (let count = 0; count < 4; count += 1) expect((await dial(proxy)).name).toBe("b");
    await expect.poll(() => live(proxy)).toEqual([b.text]);

    await a.revive();
    await expect.poll(() => live(proxy).sort()).toEqual([a.text, b.text].sort());
    expect((await dial(proxy)).name).toBe("a");
  });

  test("all are dead: refused quickly; one comes back: served again without a restart [J58]", async () => {
    const [a, b] = [await backend("a"), await backend("b")];
    const proxy = await proxyTo([a, b]);
    await Promise.all([a.kill(), b.kill()]);
    const began = performance.now();
    await expect(dial(proxy)).rejects.toThrow();
    expect(performance.now() - began).toBeLessThan(quick.dialTimeoutMs);
    expect(proxy.stats()).toMatchObject({ refused: 1, open: 0 });
    await b.revive();
    // A dead one is tried as the last resort, before any look finds it alive.
    expect((await dial(proxy)).name).toBe("b");
  });

  test("none is known: refused", async () => {
    await expect(dial(await proxyTo([]))).rejects.toThrow();
  });

  test("a silent one costs a moment; what is open to it is cut once it is known to be gone", async () => {
    const [a, b] = [cleanup.use(await startFreezable()), await backend("b")];
    const dialTimeoutMs = 2_000;
    const proxy = await proxyTo([a, b], { dialTimeoutMs });
    const clients = [await dial(proxy), await dial(proxy)];
    const ofA = clients.find(({ name }) => name === "frozen");
    const ofB = clients.find(({ name }) => name === "b");
    expect(ofA && ofB).toBeDefined();
    const cut = ofA && closed(ofA.socket);
    await a.freeze();
    const began = performance.now();
    expect((await dial(proxy)).name).toBe("b");
    // Nobody waits for the whole time that a dial may take.
    expect(performance.now() - began).toBeLessThan(dialTimeoutMs);
    await expect.poll(() => live(proxy), { timeout: 15_000 }).toEqual([b.text]);
    await cut;
    expect(await ofB?.echo("x")).toBe("x");
  });

  test("one whose node is said to be away gets no new connection while there is another, and is the last try", async () => {
    const [a, b] = await Promise.all([backend("a"), backend("b")]);
    const proxy = await proxyTo([]);
    proxy.set(parseEndpoints(JSON.stringify({ endpoints: [a.text, b.text], away: [a.text] })));
    for (let dialled = 0; dialled < 4; dialled += 1) expect((await dial(proxy)).name).toBe("b");
    await b.kill();
    await expect.poll(() => live(proxy)).toEqual([a.text]);
    expect((await dial(proxy)).name).toBe("a");
  });

  test("over the limit of connections, new ones are dropped and counted, old ones go on", async () => {
    const a = await backend("a");
    const proxy = await proxyTo([a], { maxConnections: 3 });
    const clients = [await dial(proxy), await dial(proxy), await dial(proxy)];
    await expect(dial(proxy)).rejects.toThrow();
    for (const client of clients) expect(await client.echo("x")).toBe("x");
    expect(proxy.stats()).toMatchObject({ dropped: 1, open: 3 });
    clients[0]?.socket.destroy();
    await expect.poll(() => proxy.stats().open).toBe(2);
    expect((await dial(proxy)).name).toBe("a");
  });
});

describe("a new set", () => {
  test("under load of 200 connections loses none that stay, moves new ones, and ends the old after the grace time", async () => {
    const [a, b, c] = [await backend("a"), await backend("b"), await backend("c")];
    const proxy = await proxyTo([a, b], { graceMs: 2_500 });
    const clients = await Promise.all(Array.from({ length: 200 }, () => dial(proxy)));
    const busy = new AbortController();
    const kept = clients.filter(({ name }) => name === "b");
    const leaving = clients.filter(({ name }) => name === "a");
    expect(kept.length).toBeGreaterThan(50);
    expect(leaving.length).toBeGreaterThan(50);
    let echoes = 0;
    const load = Promise.all(
      kept.slice(0, 20).map(async (client) => {
        while (!busy.signal.aborted) {
          expect(await client.echo("0123456789")).toBe("0123456789");
          echoes += 1;
        }
      }),
    );
    load.catch(() => {});

    const ended = Promise.all(leaving.map(({ socket }) => closed(socket)));
    proxy.set(endpoints(b.text, c.text));
    // The removed one still serves what it has.
    const answers = await Promise.all(leaving.map((client) => client.echo("grace")));
    expect(answers.every((answer) => answer === "grace")).toBe(true);
    for (let count = 0; count < 10; count += 1) expect((await dial(proxy)).name).not.toBe("a");
    await ended;
    const at = echoes;
    await expect.poll(() => echoes).toBeGreaterThan(at + kept.length);
    busy.abort();
    await load;
    for (const client of kept) expect(await client.echo("idle")).toBe("idle");
    expect(
      proxy
        .stats()
        .backends.map(({ endpoint }) => endpoint)
        .sort(),
    ).toEqual([b.text, c.text].sort());
  });

  test("that brings one back within the grace time keeps its connections", async () => {
    const [a, b] = [await backend("a"), await backend("b")];
    const proxy = await proxyTo([a]);
    const client = await dial(proxy);
    proxy.set(endpoints(b.text));
    proxy.set(endpoints(a.text, b.text));
    const other = await dial(proxy);
    // Another one that leaves shows that the grace time has passed.
    proxy.set(endpoints(a.text));
    await closed(other.socket);
    expect(await client.echo("x")).toBe("x");
  });
});

test("a taken port is refused with what to do, before anything else", async () => {
  const a = await backend("a");
  await expect(startProxy({ ...quick, listen: { host: "127.0.0.1", port: a.port } }, silent)).rejects.toMatchObject({
    kind: "conflict",
    message: `cannot listen on 127.0.0.1:${a.port}: the port is taken by another program`,
    remedy: expect.stringContaining("ss -ltnp"),
  });
});

test("stopping ends all connections", async () => {
  const a = await backend("a");
  const proxy = await proxyTo([a]);
  const client = await dial(proxy);
  const ended = closed(client.socket);
  await proxy.stop();
  await ended;
  await expect.poll(() => a.sockets.size).toBe(0);
  await expect(dialProxy(proxy.port)).rejects.toThrow("ECONNREFUSED");
});
