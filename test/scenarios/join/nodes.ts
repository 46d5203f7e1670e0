import { expect } from "vitest";
import { k8s } from "../../expect-node.ts";
import type { Host } from "../../hosts/types.ts";
import { callDaemon } from "../../node.ts";

export const etcdConfig = "datastore-type: etcd\n";

export async function joinToken(host: Host, ...argv: string[]): Promise<string> {
  const result = await k8s(host, ["get-join-token", ...argv]);
  expect(result.exitCode, result.stderr).toBe(0);
  return result.stdout.trim();
}

export function join(host: Host, name: string, token: string, ...argv: string[]) {
  return k8s(host, ["join-cluster", token, "--name", name, "--address", host.address, "--timeout", "180s", ...argv]);
}

/** Joins, and fails the test with all that was printed when that does not work. */
export async function joins(host: Host, name: string, token: string, ...argv: string[]): Promise<void> {
  const result = await join(host, name, token, ...argv);
  if (result.exitCode !== 0) {
    const log = (await host.journal("k8sd")).split("\n").slice(-20).join("\n");
    throw new Error(`${result.stdout}${result.stderr}\n${log}`);
  }
}

/** Name and state of each member, as this node sees it. */
export async function members(host: Host): Promise<Record<string, string>> {
  const answer = await callDaemon(host, "GET", "/1.0/k8sd/members");
  const list = (answer.metadata as { members?: { name: string; state: string }[] } | null)?.members ?? [];
  return Object.fromEntries(list.map(({ name, state }) => [name, state]));
}

/** Name and vote of each member of etcd, as the member on this host says. */
export async function etcdMembers(host: Host): Promise<Record<string, "voter" | "learner">> {
  const list = await etcdMemberList(host);
  return Object.fromEntries(list.map(({ name, isLearner }) => [name, isLearner ? "learner" : "voter"]));
}

interface EtcdMember {
  readonly name: string;
  readonly isLearner?: boolean;
  readonly peerURLs: readonly string[];
}

export async function etcdMemberList(host: Host): Promise<readonly EtcdMember[]> {
  const pki = "/etc/kubernetes/pki";
  // A host has one loopback or both.
  const endpoints = "https://127.0.0.1:2379,https://[::1]:2379";
  const { stdout } = await host.run(
    "/snap/k8s/current/bin/etcdctl",
    ...["--endpoints", endpoints, "--cacert", `${pki}/etcd/ca.crt`],
    ...["--cert", `${pki}/apiserver-etcd-client.crt`, "--key", `${pki}/apiserver-etcd-client.key`],
    ...["member", "list", "--write-out", "json"],
  );
  return (JSON.parse(stdout) as { members: EtcdMember[] }).members;
}
