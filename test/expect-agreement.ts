import { expect } from "vitest";
import { kubectl } from "./expect-node.ts";
import type { Host } from "./hosts/types.ts";
import { meshOf } from "./mesh.ts";
import { callDaemon } from "./node.ts";
import { etcdMemberList } from "./scenarios/join/nodes.ts";

export interface AgreementOptions {
  /** Members that are in by right although their hosts are not asked: off, or cut off. */
  readonly unasked?: Readonly<Record<string, "control-plane" | "worker">>;
  readonly timeoutMs?: number;
}

/** What one source says: who is in, and as what. */
type View = Readonly<Record<string, string>>;

/**
 * After every scenario: the hosts that are given are the cluster, and everything that knows of members says the same: the
 * ledger on each control plane, etcd's members, Kubernetes' Nodes, the mesh on each node, workers, also where each of them
 * is; and no token is held for anybody.
 */
export async function expectAgreement(hosts: readonly Host[], options: AgreementOptions = {}): Promise<void> {
  const { unasked = {}, timeoutMs = 60_000 } = options;
  const own = await Promise.all(hosts.map(async (host) => ({ host, ...(await selfOf(host)) })));
  const controlPlanes = own.filter(({ role }) => role === "control-plane");
  if (controlPlanes.length === 0) throw new Error("cannot check for agreement: no control plane was given");
  const roles: View = { ...Object.fromEntries(own.map(({ name, role }) => [name, role])), ...unasked };
  const names = Object.keys(roles).sort();
  const voters = names.filter((name) => roles[name] === "control-plane");

  const wanted: Record<string, View> = {};
  const actual: Record<string, () => Promise<View>> = {};
  for (const { host, name } of controlPlanes) {
    wanted[`ledger on ${name}`] = Object.fromEntries(names.map((each) => [each, `active ${roles[each]}`]));
    actual[`ledger on ${name}`] = () => ledgerOf(host);
    wanted[`joins under way on ${name}`] = {};
    actual[`joins under way on ${name}`] = () => joining(host);
    if (await isActive(host, "k8s-etcd")) {
      wanted[`etcd on ${name}`] = Object.fromEntries(voters.map((each) => [each, "voter"]));
      actual[`etcd on ${name}`] = () => etcdOf(host);
    }
    if (await isActive(host, "k8s-kube-apiserver")) {
      wanted[`Kubernetes on ${name}`] = Object.fromEntries(names.map((each) => [each, "Node"]));
      actual[`Kubernetes on ${name}`] = () => nodesOf(host);
    }
  }
  for (const { host, name, role } of own) {
    const peers = names.filter((each) => each !== name);
    wanted[`mesh on ${name}`] = Object.fromEntries(peers.map((each) => [each, each in unasked ? "peer" : "alive"]));
    actual[`mesh on ${name}`] = async () => {
      const { peers: found } = await meshOf(host);
      const placed =
        role === "control-plane" ? await placer(host) : (_each: string, _at: unknown, what: string) => what;
      return Object.fromEntries(
        found.map(({ name: each, state, addresses }) => [
          each,
          // Where it was before stays behind that.
          placed(each, addresses.slice(0, 1).map(hostOf), each in unasked ? "peer" : state),
        ]),
      );
    };
  }
  for (const { host, name } of own.filter(({ role }) => role === "worker")) {
    wanted[`what ${name} was told`] = Object.fromEntries(names.map((each) => [each, `active ${roles[each]}`]));
    actual[`what ${name} was told`] = () => rosterOf(host);
  }
  const look = async (): Promise<Record<string, View>> =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(actual).map(
          async ([source, read]): Promise<[string, View]> => [
            source,
            await read().catch((error: unknown): View => ({ error: String(error) })),
          ],
        ),
      ),
    );
  await expect.poll(look, { timeout: timeoutMs, interval: 500 }).toEqual(wanted);
}

async function selfOf(host: Host): Promise<{ readonly name: string; readonly role: string }> {
  const { metadata, error } = await callDaemon(host, "GET", "/1.0/k8sd/node");
  const { status } = (metadata ?? {}) as { status?: { name: string; "cluster-role": string } };
  if (status === undefined) throw new Error(`cannot check for agreement: ${host.name} is no member: ${error}`);
  return { name: status.name, role: status["cluster-role"] };
}

interface Recorded {
  readonly name: string;
  readonly state: string;
  readonly role: string;
  readonly addresses: readonly string[];
}

async function recordsOf(host: Host): Promise<readonly Recorded[]> {
  const { metadata, error } = await callDaemon(host, "GET", "/1.0/k8sd/members");
  const { members } = (metadata ?? {}) as { members?: Recorded[] };
  if (members === undefined) throw new Error(error);
  return members;
}

async function ledgerOf(host: Host): Promise<View> {
  return Object.fromEntries((await recordsOf(host)).map(({ name, state, role }) => [name, `${state} ${role}`]));
}

/** Says of whatever is at an address that the ledger does not have for it where it is. */
async function placer(host: Host) {
  const known = new Map((await recordsOf(host)).map(({ name, addresses }) => [name, addresses]));
  return (name: string, at: readonly string[], what: string): string => {
    const stray = at.filter((address) => !known.get(name)?.includes(address));
    return stray.length === 0 ? what : `${what}, at ${stray.join(" and ")}`;
  };
}

function hostOf(authority: string): string {
  return new URL(`https://${authority.replace(/^https:\/\//, "")}`).hostname.replace(/^\[|\]$/g, "");
}

async function etcdOf(host: Host): Promise<View> {
  const placed = await placer(host);
  return Object.fromEntries(
    (await etcdMemberList(host)).map(({ name, isLearner, peerURLs }) => [
      name,
      placed(name, peerURLs.map(hostOf), isLearner ? "learner" : "voter"),
    ]),
  );
}

/** A worker has no ledger: it knows what the mesh, or a control plane, has told it. */
async function rosterOf(host: Host): Promise<View> {
  const { metadata, error } = await callDaemon(host, "GET", "/1.0/k8sd/cluster");
  const { status } = (metadata ?? {}) as { status?: { nodes: { name: string; state: string; role: string }[] } };
  if (status === undefined) return { error };
  return Object.fromEntries(status.nodes.map(({ name, state, role }) => [name, `${state} ${role}`]));
}

async function joining(host: Host): Promise<View> {
  const { metadata, error } = await callDaemon(host, "GET", "/1.0/k8sd/cluster/tokens");
  const { tokens } = (metadata ?? {}) as { tokens?: { id: string; joining: number }[] };
  if (tokens === undefined) return { error };
  return Object.fromEntries(tokens.filter((token) => token.joining > 0).map(({ id, joining: n }) => [id, `${n}`]));
}

async function nodesOf(host: Host): Promise<View> {
  const placed = await placer(host);
  const list = await kubectl(
    host,
    ...["get", "nodes", "-o"],
    "jsonpath={range .items[*]}{.metadata.name}{range .status.addresses[?(@.type=='InternalIP')]} {.address}{end}{'\\n'}{end}",
  );
  return Object.fromEntries(
    list
      .trim()
      .split("\n")
      .map((line) => {
        const [name = "", ...at] = line.split(" ");
        return [name, placed(name, at, "Node")];
      }),
  );
}

async function isActive(host: Host, unit: string): Promise<boolean> {
  return (await host.tryRun(["systemctl", "is-active", "--quiet", unit])).exitCode === 0;
}
