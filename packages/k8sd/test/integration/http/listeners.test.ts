import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { listenTls, listenUnix } from "../../../src/http/listeners.ts";
import { call, fingerprint, keyPair } from "./fixtures.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "listen-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const ok = (_request: unknown, response: { end(text: string): unknown }) => response.end("{}");

describe("the unix socket", () => {
  test("has mode 0660 and leaves nothing beside it", async () => {
    const path = join(directory, "control.socket");
    const listener = await listenUnix({ path, gid: process.getgid?.() ?? 0 }, ok);
    expect((await stat(path)).mode & 0o777).toBe(0o660);
    expect(await readdir(directory)).toEqual(["control.socket"]);
    expect((await call(path, "GET", "/")).status).toBe(200);
    await listener.close(0);
    expect(await readdir(directory)).toEqual([]);
  });

  test("of a killed process is replaced", async () => {
    const path = join(directory, "control.socket");
    const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const listener = await listenUnix({ path }, ok);
    expect((await call(path, "GET", "/")).status).toBe(200);
    await listener.close(0);
  });

  test("of a living process is not touched", async () => {
    const path = join(directory, "control.socket");
    const first = await listenUnix({ path }, ok);
    await expect(listenUnix({ path }, ok)).rejects.toMatchObject({
      kind: "conflict",
      message: expect.stringContaining("another process"),
    });
    expect((await call(path, "GET", "/")).status).toBe(200);
    await first.close(0);
  });

  test("does not take the place of a file", async () => {
    const path = join(directory, "control.socket");
    await writeFile(path, "mine");
    await expect(listenUnix({ path }, ok)).rejects.toMatchObject({ kind: "conflict" });
    expect(await readdir(directory)).toEqual(["control.socket"]);
  });

  test("whose path no client could connect to is refused", async () => {
    const path = join(directory, "x".repeat(120));
    await expect(listenUnix({ path }, ok)).rejects.toMatchObject({ kind: "invalid", field: "--state-dir" });
    expect(await readdir(directory)).toEqual([]);
  });

  test("closes after the deadline though a request hangs", async () => {
    const path = join(directory, "control.socket");
    let seen = false;
    const listener = await listenUnix({ path }, () => {
      seen = true;
    });
    const hanging = request({ socketPath: path, path: "/" });
    const failed = once(hanging, "error");
    hanging.end();
    await expect.poll(() => seen).toBe(true);
    await listener.close(50);
    await failed;
    await listener.close(50);
  });
});

describe("HTTPS", () => {
  const certificateOf = async (address: string): Promise<string> => {
    const [host = "", port] = address.split(":");
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
    await once(socket, "secureConnect");
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256.replaceAll(":", "").toLowerCase();
  };

  test("new connections get the new certificate, open ones live on", async () => {
    const [first, second] = [keyPair("n1"), keyPair("n1")];
    const listener = await listenTls({ host: "127.0.0.1", port: 0, ...first }, ok);
    const [host = "", port] = listener.address.split(":");
    const open = connect({ host, port: Number(port), rejectUnauthorized: false });
    await once(open, "secureConnect");
    expect(await certificateOf(listener.address)).toBe(fingerprint(first.cert));
    listener.reload(second);
    expect(await certificateOf(listener.address)).toBe(fingerprint(second.cert));
    open.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const [answer] = await once(open, "data");
    expect(String(answer)).toContain("200 OK");
    open.destroy();
    await listener.close(0);
  });

  test("speaks no TLS older than 1.2", async () => {
    const listener = await listenTls({ host: "127.0.0.1", port: 0, ...keyPair("n1") }, ok);
    const [host = "", port] = listener.address.split(":");
    const old = connect({
      host,
      port: Number(port),
      rejectUnauthorized: false,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "ALL:@SECLEVEL=0",
    });
    const [error] = await once(old, "error");
    expect(String(error)).toMatch(/protocol|version|alert/i);
    await listener.close(0);
  });

  test("on a taken port says so", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    await expect(listenTls({ host: "127.0.0.1", port, ...keyPair("n1") }, ok)).rejects.toMatchObject({
      kind: "conflict",
      message: `cannot listen on 127.0.0.1:${port}`,
    });
    taken.close();
  });

  test("a caller that never speaks does not keep it from closing", async () => {
    const listener = await listenTls({ host: "127.0.0.1", port: 0, ...keyPair("n1") }, ok);
    const [host = "", port] = listener.address.split(":");
    const mute = connectSocket({ host, port: Number(port) });
    mute.on("error", () => {});
    await once(mute, "connect");
    const began = performance.now();
    await listener.close(50);
    expect(performance.now() - began).toBeLessThan(2_000);
    mute.destroy();
  });
});
