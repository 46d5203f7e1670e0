import { copyFile, mkdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { createHost } from "./hosts/host.ts";
import { createNetwork, type Network, type NetworkOptions } from "./hosts/network.ts";
import type { Host, HostOptions } from "./hosts/types.ts";
import type { Staged } from "./stage.ts";

export interface NodeOptions extends Omit<HostOptions, "usrLayers" | "systemd"> {
  readonly staged: Staged;
  /** Environment of the daemon, for example fault points. */
  readonly env?: Readonly<Record<string, string>>;
  /** Further flags of the daemon. */
  readonly flags?: readonly string[];
}

const snapCommon = "/var/snap/k8s/common";
/** The daemon's own argument file, in the host. */
export const daemonFlagsFile = `${snapCommon}/args/k8sd`;
export const daemonSocket = `${snapCommon}/var/lib/k8sd/state/control.socket`;

/** A network of nodes on which partitions, loss and delay can be made. */
export function createNodeNetwork(staged: Staged, options: Omit<NetworkOptions, "toolsDir"> = {}): Promise<Network> {
  const toolsDir = staged.usrLayers.at(-1);
  return createNetwork({ ...options, ...(toolsDir === undefined ? {} : { toolsDir }) });
}

/** A test host that has k8sd installed and running, not bootstrapped yet. */
export async function createNode(options: NodeOptions): Promise<Host> {
  const { staged, env = {}, flags = [], binds = [], ...rest } = options;
  const host = await createHost({
    ...rest,
    usrLayers: staged.usrLayers,
    binds: [{ from: staged.snap, to: "/snap/k8s/current", readOnly: true }, ...binds],
  });
  try {
    await installDaemon(host, staged, env, flags);
    return host;
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

async function installDaemon(
  host: Host,
  staged: Staged,
  env: Readonly<Record<string, string>>,
  flags: readonly string[],
): Promise<void> {
  const images = join(host.root, snapCommon, "images");
  await mkdir(images, { recursive: true });
  for (const archive of staged.images) await copyFile(archive, join(images, basename(archive)));
  const unit = await readFile(join(import.meta.dirname, "..", "snap", "systemd", "k8sd.service"), "utf8");
  await host.writeFile("/etc/systemd/system/k8sd.service", unit);
  const lines = (values: readonly string[]): string => values.map((value) => `${value}\n`).join("");
  await host.writeFile(daemonFlagsFile, lines(flags), 0o600);
  await host.writeFile(`${snapCommon}/args/k8sd-env`, lines(Object.entries(env).map((pair) => pair.join("="))), 0o600);
  await host.run("systemctl", "daemon-reload");
  await host.run("systemctl", "enable", "--now", "k8sd");
  await waitForDaemon(host);
}

/** Resolves when the daemon has finished its start. */
export async function waitForDaemon(host: Host): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answer = await callDaemon(host, "GET", "/core/1.0/ready").catch((error: unknown) => ({
      error: String(error),
    }));
    if (answer.error === "") return;
    if (Date.now() > deadline) {
      throw new Error(`k8sd is not up after 60 s: ${answer.error}\n${await host.journal("k8sd")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** One call of the API over the control socket. */
export async function callDaemon(
  host: Host,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ error: string; metadata?: unknown }> {
  const data = body === undefined ? [] : ["-d", JSON.stringify(body)];
  const { stdout } = await host.run(
    "curl",
    "-sS",
    "--max-time",
    "60",
    "--unix-socket",
    daemonSocket,
    "-X",
    method,
    ...data,
    `http://localhost${path}`,
  );
  return JSON.parse(stdout) as { error: string; metadata?: unknown };
}
