import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { pino } from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Method, StreamCall } from "../../../src/datastore/engine/grpc-call.ts";
import { createGrpcServer } from "../../../src/datastore/engine/grpc-server.ts";

const maxMessageBytes = 100_000;

/** A server with three calls: one echoes, one never answers, one streams what it is told to. */
async function serve() {
  const calls: StreamCall[] = [];
  let asked = 0;
  let closed = 0;
  let drained = 0;
  const methods = new Map<string, Method>([
    [
      "/test/Echo",
      {
        kind: "unary",
        serve(message) {
          asked++;
          return (writer) => writer.raw(message);
        },
      },
    ],
    ["/test/Never", { kind: "unary", serve: () => new Promise(() => {}) }],
    [
      "/test/Stream",
      {
        kind: "stream",
        serve(call) {
          calls.push(call);
          return {
            message() {},
            ended: () => call.end(),
            drained() {
              drained++;
            },
            closed() {
              closed++;
            },
          };
        },
      },
    ],
  ]);
  const server = createGrpcServer({ methods, keyLimits: new Map(), maxMessageBytes }, pino({ enabled: false }));
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 }, undefined);
  onTestFinished(() => server.stop());
  return {
    port,
    server,
    calls,
    asked: () => asked,
    closed: () => closed,
    drained: () => drained,
  };
}

function client(port: number, settings = {}): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`, { settings });
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  return session;
}

function grpcMessage(body: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

async function call(session: ClientHttp2Session, path: string, body: Buffer) {
  const stream = session.request({ ":method": "POST", ":path": path });
  let status: unknown;
  let message: unknown;
  const read = (headers: Record<string, unknown>) => {
    status ??= headers["grpc-status"];
    message ??= headers["grpc-message"];
  };
  stream.on("response", read);
  stream.on("trailers", read);
  stream.end(grpcMessage(body));
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { status, message, body: Buffer.concat(chunks).subarray(5) };
}

test("many calls at once over one connection, small and larger than a frame", async () => {
  const { port } = await serve();
  const session = client(port);
  const bodies = Array.from({ length: 200 }, (_, index) => Buffer.alloc(index * 450, index));
  const answers = await Promise.all(bodies.map((body) => call(session, "/test/Echo", body)));
  for (const [index, answer] of answers.entries()) {
    expect(answer.status).toBe("0");
    expect(answer.body.equals(bodies[index] ?? Buffer.of())).toBe(true);
  }
});

test("a small window is kept to, and what waits is sent as it opens", async () => {
  const { port } = await serve();
  const session = client(port, { initialWindowSize: 1_000 });
  const body = Buffer.alloc(90_000, 7);
  const answers = await Promise.all([1, 2, 3].map(() => call(session, "/test/Echo", body)));
  expect(answers.map((answer) => answer.body.equals(body))).toEqual([true, true, true]);
});

test("a stream says when its peer is slow, and when it took all", async () => {
  const { port, calls, drained } = await serve();
  const session = client(port, { initialWindowSize: 10 });
  const stream = session.request({ ":method": "POST", ":path": "/test/Stream" });
  stream.pause();
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  expect(calls[0]?.send((writer) => writer.raw(Buffer.alloc(50_000)))).toBe(false);
  expect(drained()).toBe(0);
  stream.resume();
  // Ten bytes at a time take a while on a busy machine.
  await expect.poll(drained, { timeout: 20_000 }).toBe(1);
  expect(calls[0]?.send((writer) => writer.raw(Buffer.of(1)))).toBe(true);
});

test("requests of a peer that leaves its answers lying wait", async () => {
  const { port, asked } = await serve();
  const session = client(port, { initialWindowSize: 0 });
  const body = grpcMessage(Buffer.alloc(90_000));
  const streams = Array.from({ length: 200 }, () => {
    const stream = session.request({ ":method": "POST", ":path": "/test/Echo" });
    stream.on("error", () => {});
    stream.end(body);
    return stream;
  });
  // Two answers, with which its share of memory is full, not the 18 MB of all.
  await expect.poll(asked, { timeout: 5_000 }).toBe(2);
  await new Promise((resolve) => session.ping((error) => resolve(error)));
  expect(asked()).toBe(2);
  session.settings({ initialWindowSize: 200_000 });
  await Promise.all(streams.map((stream) => once(stream.resume(), "close")));
  expect(asked()).toBe(200);
});

test("too large a message, an unknown call and an empty request are refused", async () => {
  const { port } = await serve();
  const session = client(port);
  expect(await call(session, "/test/Echo", Buffer.alloc(maxMessageBytes + 1))).toMatchObject({ status: "8" });
  expect(await call(session, "/test/Other", Buffer.of())).toMatchObject({
    status: "12",
    message: "unknown method /test/Other",
  });
  const stream = session.request({ ":method": "POST", ":path": "/test/Echo" }, { endStream: true });
  const [headers] = await once(stream, "response");
  expect(headers["grpc-status"]).toBe("13");
});

test("a call that is taken back ends, and the connection goes on", async () => {
  const { port, calls, closed } = await serve();
  const session = client(port);
  const stream = session.request({ ":method": "POST", ":path": "/test/Stream" });
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  stream.close(constants.NGHTTP2_CANCEL);
  await expect.poll(closed).toBe(1);
  expect(await call(session, "/test/Echo", Buffer.from("on"))).toMatchObject({ status: "0" });
});

test("a stop ends streams with a status, and calls without an answer after a moment", async () => {
  const { port, server, calls } = await serve();
  const session = client(port);
  const stream = session.request({ ":method": "POST", ":path": "/test/Stream" });
  const never = session.request({ ":method": "POST", ":path": "/test/Never" });
  never.on("error", () => {});
  never.end(grpcMessage(Buffer.of(1)));
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  const trailers = once(stream, "trailers");
  stream.resume();
  const stopped = server.stop();
  expect((await trailers)[0]["grpc-status"]).toBe("14");
  await stopped;
});

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const frame = (type: number, flags: number, id: number, payload: Buffer): Buffer => {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(id, 5);
  return Buffer.concat([header, payload]);
};
const request = Buffer.from("838684", "hex");

test.each<[string, number | undefined, Buffer[]]>([
  ["another protocol", 1, [Buffer.from("GET / HTTP/1.1\r\n\r\n")]],
  ["a frame larger than allowed", 6, [preface, Buffer.from("004001000000000000", "hex")]],
  ["data without a stream", 1, [preface, frame(0, 0, 1, Buffer.of(1))]],
  ["an even stream", 1, [preface, frame(1, 4, 2, request)]],
  ["a stream id that goes back", 1, [preface, frame(1, 5, 3, request), frame(1, 5, 1, request)]],
  ["a header block that is interrupted", 1, [preface, frame(1, 0, 1, request), frame(6, 0, 0, Buffer.alloc(8))]],
  [
    "a header block that never ends",
    11,
    [preface, frame(1, 0, 1, request), ...Array(70).fill(frame(9, 0, 1, request))],
  ],
  ["headers that cannot be read", 9, [preface, frame(1, 4, 1, Buffer.from("ff8001", "hex"))]],
  ["padding longer than its frame", 1, [preface, frame(1, 12, 1, Buffer.of(200, 0x83))]],
  ["a window beyond its limit", 3, [preface, frame(8, 0, 0, Buffer.from("7fffffff", "hex"))]],
  ["a push", 1, [preface, frame(5, 4, 1, Buffer.alloc(4))]],
])("%s ends the connection with its code, and others go on", async (_, code, frames) => {
  const { port } = await serve();
  const socket: Socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  const received: Buffer[] = [];
  socket.on("data", (chunk) => received.push(chunk));
  socket.on("error", () => {});
  for (const bytes of frames) socket.write(bytes);
  await once(socket, "close");
  expect(goawayCode(Buffer.concat(received))).toBe(code);
  expect(await call(client(port), "/test/Echo", Buffer.from("on"))).toMatchObject({ status: "0" });
});

function goawayCode(bytes: Buffer): number | undefined {
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] === 7) return bytes.readUInt32BE(at + 13);
  }
  return undefined;
}

test("a stream whose peer is slow holds no other call up", async () => {
  const { port, calls } = await serve();
  const session = client(port);
  const stream = session.request({ ":method": "POST", ":path": "/test/Stream" });
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  expect(calls[0]?.send((writer) => writer.raw(Buffer.alloc(4_000_000)))).toBe(false);
  expect(stream.closed).toBe(false);
  expect(await call(session, "/test/Echo", Buffer.from("on"))).toMatchObject({ status: "0" });
});
