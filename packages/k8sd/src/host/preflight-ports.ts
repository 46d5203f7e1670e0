import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, join } from "node:path";

import { errorCode, errorText } from "../lib/app-error.ts";
import type { Conflict, PortNeed } from "./host.ts";

/** Every port that is needed twice, taken, or cannot be listened on; each port is tried for a moment and let go. */
export async function checkPorts(
  needs: readonly PortNeed[],
  proc: string,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const wanted = needs.filter(({ port }) => port !== 0);
  const groups = Map.groupBy(wanted, ({ protocol, port }) => `${protocol} ${port}`);
  const found = await Promise.all([...groups.values()].map((group) => checkOnePort(group, signal)));
  const taken = found.flat().filter(({ code }) => code === "EADDRINUSE");
  const owners =
    taken.length === 0
      ? new Map<string, string>()
      : await findOwners(
          taken.map(({ need }) => need),
          proc,
        );
  signal.throwIfAborted();
  return [...neededTwice(wanted), ...found.flat().map((failed) => describe(failed, owners))];
}

interface FailedPort {
  readonly need: PortNeed;
  readonly code: string;
  readonly reason: string;
}

/** The same address twice means two of our own services would collide. */
function neededTwice(needs: readonly PortNeed[]): readonly Conflict[] {
  const conflicts: Conflict[] = [];
  needs.forEach((need, index) => {
    const other = needs.slice(0, index).find((earlier) => overlap(earlier, need));
    if (other === undefined || other.service === need.service) return;
    conflicts.push({
      message: `port ${need.port} is needed by ${other.service} and by ${need.service}`,
      remedy: `Give ${need.service} another port.`,
      ...(need.field === undefined ? {} : { field: need.field }),
    });
  });
  return conflicts;
}

function overlap(a: PortNeed, b: PortNeed): boolean {
  if (a.protocol !== b.protocol || a.port !== b.port) return false;
  return a.address === undefined || b.address === undefined || a.address === b.address;
}

async function checkOnePort(group: readonly PortNeed[], signal: AbortSignal): Promise<readonly FailedPort[]> {
  const failed: FailedPort[] = [];
  // One after the other: on all addresses and on one address at once, our own attempts would collide.
  for (const need of group) {
    signal.throwIfAborted();
    const error = await listenError(need);
    if (error !== undefined) failed.push({ need, ...error });
  }
  return failed;
}

async function listenError(need: PortNeed): Promise<{ code: string; reason: string } | undefined> {
  for (const address of need.address === undefined ? ["::", "0.0.0.0"] : [need.address]) {
    const failure = await attempt(() =>
      need.protocol === "tcp" ? listenTcp(need.port, address) : listenUdp(need.port, address),
    );
    // A host without IPv6 is told by the attempt on 0.0.0.0.
    const noIpv6 =
      need.address === undefined && address === "::" && failure?.code !== "EADDRINUSE" && failure?.code !== "EACCES";
    if (failure !== undefined && !noIpv6) return failure;
  }
  return undefined;
}

async function attempt(listen: () => Promise<void>): Promise<{ code: string; reason: string } | undefined> {
  try {
    await listen();
    return undefined;
  } catch (error) {
    return { code: String(errorCode(error)), reason: errorText(error) };
  }
}

async function listenTcp(port: number, host: string): Promise<void> {
  const server = createServer();
  server.listen({ port, host, exclusive: true });
  await once(server, "listening");
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

async function listenUdp(port: number, address: string): Promise<void> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  try {
    socket.bind({ port, address, exclusive: true });
    await once(socket, "listening");
  } finally {
    socket.close();
  }
}

function describe({ need, code, reason }: FailedPort, owners: ReadonlyMap<string, string>): Conflict {
  const field = need.field === undefined ? {} : { field: need.field };
  const port = `port ${need.port} (needed by: ${need.service})`;
  switch (code) {
    case "EADDRINUSE": {
      const owner = owners.get(`${need.protocol} ${need.port}`);
      return {
        message: `${port} is already in use${owner === undefined ? "" : ` by ${owner}`}`,
        remedy:
          owner === undefined
            ? "Stop the program that uses it or choose another port."
            : `Stop ${owner} or choose another port.`,
        ...field,
      };
    }
    case "EADDRNOTAVAIL":
      return {
        message: `${port} cannot be used: ${need.address} is no address of this machine`,
        remedy: "Choose an address of this machine.",
        ...field,
      };
    case "EACCES":
      return { message: `${port} cannot be used: permission denied`, remedy: "Run as root.", ...field };
    default:
      return { message: `${port} cannot be used: ${reason}`, remedy: "Choose another port or address.", ...field };
  }
}

/** "protocol port" → "name (pid N)", from the kernel's socket tables and the open files of all processes. */
async function findOwners(needs: readonly PortNeed[], proc: string): Promise<ReadonlyMap<string, string>> {
  const wanted = new Set(needs.map(({ protocol, port }) => `${protocol} ${port}`));
  const portOfInode = new Map<string, string>();
  for (const protocol of ["tcp", "udp"] as const) {
    for (const family of ["", "6"]) {
      for (const { inode, port } of await readSockets(join(proc, "net", `${protocol}${family}`), protocol)) {
        if (wanted.has(`${protocol} ${port}`)) portOfInode.set(inode, `${protocol} ${port}`);
      }
    }
  }
  const owners = new Map<string, string>();
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name));
  await Promise.all(
    pids.map(async (pid) => {
      for (const inode of await socketsOf(join(proc, pid, "fd"))) {
        const port = portOfInode.get(inode);
        if (port === undefined || owners.has(port)) continue;
        owners.set(port, `${await nameOf(join(proc, pid))} (pid ${pid})`);
      }
    }),
  );
  return owners;
}

/** The program's file name; what a process calls itself can be any word, such as the name of a thread. */
async function nameOf(process: string): Promise<string> {
  const file = await readlink(join(process, "exe")).catch(() => "");
  if (file !== "") return basename(file.replace(/ \(deleted\)$/, ""));
  return (await readFile(join(process, "comm"), "utf8").catch(() => "unknown")).trim();
}

/** Listening sockets. Fields: number, local address, remote address, state, …; inode is the tenth. */
async function readSockets(path: string, protocol: "tcp" | "udp"): Promise<readonly { inode: string; port: number }[]> {
  const listening = protocol === "tcp" ? "0A" : "07";
  // A kernel without IPv6 has no table for it.
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const port = fields[1]?.split(":")[1];
    const inode = fields[9];
    return fields[3] === listening && port !== undefined && inode !== undefined
      ? [{ inode, port: Number.parseInt(port, 16) }]
      : [];
  });
}

async function socketsOf(directory: string): Promise<readonly string[]> {
  // Processes end while they are looked at.
  const names = await readdir(directory).catch(() => []);
  const links = await Promise.all(names.map((name) => readlink(join(directory, name)).catch(() => "")));
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}
