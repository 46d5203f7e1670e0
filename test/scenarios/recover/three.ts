import { expect } from "vitest";
import { becomesReady, bootstrap } from "../../expect-node.ts";
import { expectOut, expectRefused, type Identity, identityOf } from "../../expect-out.ts";
import { faultEnvironment } from "../../faults/points.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { callDaemon, createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, joins, joinToken } from "../join/nodes.ts";

/** Three control planes on etcd, the agent alone. */
export interface Three extends AsyncDisposable {
  readonly network: Network;
  readonly n1: Host;
  readonly n2: Host;
  readonly n3: Host;
  /** By its name: what a host was before, and what it is known by as a member. */
  readonly known: Readonly<Record<string, { readonly before: HostSnapshot; readonly identity: Identity }>>;
}

export async function createThree(): Promise<Three> {
  const stack = new AsyncDisposableStack();
  try {
    const staged = await stagedForTests();
    const network = stack.use(await createNodeNetwork(staged));
    const create = async (name: string): Promise<Host> =>
      stack.use(await createNode({ name, staged, network, flags: ["--agent-only"], env: faultEnvironment }));
    const [n1, n2, n3] = await Promise.all([create("n1"), create("n2"), create("n3")]);
    const before = await Promise.all([n1, n2, n3].map((host) => host.snapshot()));
    await bootstrap(n1, etcdConfig);
    for (const host of [n2, n3]) await joins(host, host.name, await joinToken(n1, host.name));
    for (const host of [n1, n2, n3]) await becomesReady(host);
    const known: Record<string, { before: HostSnapshot; identity: Identity }> = {};
    for (const [index, host] of [n1, n2, n3].entries()) {
      known[host.name] = { before: before[index] ?? {}, identity: await identityOf(host, host === n1 ? n2 : n1) };
    }
    return { network, n1, n2, n3, known, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

export async function etcdctl(host: Host, ...argv: string[]): Promise<string> {
  const pki = "/etc/kubernetes/pki";
  const { stdout } = await host.run(
    "/snap/k8s/current/bin/etcdctl",
    ...["--endpoints", "https://127.0.0.1:2379", "--cacert", `${pki}/etcd/ca.crt`],
    ...["--cert", `${pki}/apiserver-etcd-client.crt`, "--key", `${pki}/apiserver-etcd-client.key`],
    ...argv,
  );
  return stdout.trim();
}

/** What a test keeps in the datastore. */
export async function put(host: Host, key: string, value: string): Promise<void> {
  expect(await etcdctl(host, "put", `/test/${key}`, value)).toBe("OK");
}

export const read = (host: Host, key: string): Promise<string> =>
  etcdctl(host, "get", `/test/${key}`, "--print-value-only");

export async function epochOf(host: Host): Promise<number | string> {
  const { error, metadata } = await callDaemon(host, "GET", "/1.0/k8sd/cluster/copy");
  return (metadata as { cluster?: { epoch: number } } | null)?.cluster?.epoch ?? error;
}

/** On disk, whatever runs there. */
export async function backups(host: Host): Promise<readonly string[]> {
  const { stdout } = await host.run("ls", "/var/snap/k8s/common/var/lib/etcd");
  return stdout.split("\n").filter((name) => name.startsWith("before-epoch"));
}

/** It has learned that it is out, nothing of ours is left on it, and those that are left do not know it any more. */
export async function isOut({ known }: Three, host: Host, left: readonly Host[]): Promise<void> {
  const of = known[host.name];
  if (of === undefined) throw new Error(`${host.name} was not a member`);
  await expectOut(host, { before: of.before, timeoutMs: 120_000 });
  await expectRefused(of.identity, host, left);
}
