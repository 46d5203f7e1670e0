import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeEndpoints } from "../../../src/apiserver-proxy/endpoints-file.ts";
import { dialProxy, startBackend } from "./servers.ts";

const entry = fileURLToPath(new URL("../../../src/apiserver-proxy/main.ts", import.meta.url));
let cleanup: AsyncDisposableStack;
let file: string;
beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "k8s-proxy-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  file = join(folder, "k8s-apiserver-proxy.json");
});
afterEach(() => cleanup.disposeAsync());

interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

async function start(...args: string[]) {
  const child = spawn(process.execPath, ["-C", "source", entry, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const lines: LogLine[] = [];
  let errors = "";
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line)));
  child.stderr.on("data", (part) => {
    errors += part;
  });
  const exit = once(child, "exit").then(([code]) => ({ code: code as number | null, errors }));
  cleanup.defer(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  const said = (msg: string) => lines.filter((line) => line.msg === msg);
  return { child, exit, said };
}

/** Started with the file, on a free port. */
async function startOnFile() {
  const program = await start(
    "--listen=127.0.0.1:0",
    `--endpoints=${file}`,
    "--kubeconfig=/none",
    "--refresh-interval=0",
  );
  await expect.poll(() => program.said("Serving").length, { timeout: 10_000 }).toBe(1);
  return { ...program, port: Number(program.said("Serving")[0]?.port) };
}
const backend = async (name: string) => cleanup.use(await startBackend(name));
/** Which API server a new connection reaches. */
async function reached(port: number): Promise<string> {
  try {
    const { name, socket } = await dialProxy(port);
    socket.destroy();
    return name;
  } catch {
    return "refused";
  }
}

test("the file that k8sd writes is private, sorted, and touched only when it changes", async () => {
  await expect(writeEndpoints(file, ["10.0.0.2:6443", "10.0.0.1:6443"])).resolves.toBe("changed");
  expect(await readFile(file, "utf8")).toBe('{"endpoints":["10.0.0.1:6443","10.0.0.2:6443"]}\n');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await expect(writeEndpoints(file, ["10.0.0.1:6443", "10.0.0.2:6443"])).resolves.toBe("unchanged");
  await expect(writeEndpoints(file, [])).rejects.toThrow("empty list of endpoints");
  await expect(writeEndpoints(file, ["cp1:6443"])).rejects.toThrow("no ip:port");
  expect(await readFile(file, "utf8")).toContain("10.0.0.1:6443");
});

test("a new file takes effect at once; the listener and open connections stay", async () => {
  const [a, b] = [await backend("a"), await backend("b")];
  await writeEndpoints(file, [a.text]);
  const { port, said, child, exit } = await startOnFile();
  await expect.poll(() => reached(port)).toBe("a");
  const idle = await dialProxy(port);
  await writeEndpoints(file, [b.text]);
  await expect.poll(() => reached(port), { timeout: 5_000 }).toBe("b");
  expect(await idle.echo("not dropped")).toBe("not dropped");

  for (const useless of ["", '{"endpoints":[]}', '{"endpoints":["b:1"]}']) {
    const before = said("Cannot use the endpoints file; what was known stays").length;
    await writeFile(file, useless);
    await expect
      .poll(() => said("Cannot use the endpoints file; what was known stays").length, { timeout: 5_000 })
      .toBeGreaterThan(before);
    expect(await reached(port)).toBe("b");
  }
  await rm(file);
  await writeEndpoints(file, [a.text]);
  await expect.poll(() => reached(port), { timeout: 5_000 }).toBe("a");

  child.kill("SIGTERM");
  expect((await exit).code).toBe(0);
  expect(said("Stopping")[0]).toMatchObject({ accepted: expect.any(Number), dropped: 0 });
});

test("it starts before its file is there, and leaves itself out of it", async () => {
  const a = await backend("a");
  const { port, said } = await startOnFile();
  expect(await reached(port)).toBe("refused");
  await writeEndpoints(file, [a.text, `127.0.0.1:${port}`]);
  await expect.poll(() => reached(port), { timeout: 5_000 }).toBe("a");
  await expect.poll(() => said("The endpoints file names this proxy itself; left out")).toHaveLength(1);
  await a.kill();
  expect(await reached(port)).toBe("refused");
});

test("a taken port ends it with exit code 1 and what to do", async () => {
  const a = await backend("a");
  const { exit } = await start(`--listen=127.0.0.1:${a.port}`, `--endpoints=${file}`);
  const { code, errors } = await exit;
  expect(code).toBe(1);
  expect(errors).toMatch(/^--listen: cannot listen on 127.0.0.1:\d+: the port is taken by another program/);
  expect(errors).toContain("ss -ltnp");
});
