import { randomUUID } from "node:crypto";
import { parseKubeconfig } from "@k8sd/k8sd/kube/kubeconfig.ts";
import { expect, vi } from "vitest";
import { daemonState, k8s } from "./expect-node.ts";
import { scanHost } from "./hosts/scan.ts";
import type { Host, HostSnapshot } from "./hosts/types.ts";
import { waitForDaemon } from "./node.ts";

/** What a member proves itself with to the others. */
export interface Identity {
  /** To k8sd. */
  readonly member: Proof;
  /** To kube-apiserver: one of each of its programs; none where no Kubernetes runs. */
  readonly programs: readonly Proof[];
}

interface Proof {
  readonly of: string;
  readonly certificate: string;
  readonly key: string;
  /** What whoever proves himself so may see, and nobody else: port and path. */
  readonly opens: string;
}

export interface OutOptions {
  /** The host before it became a node. */
  readonly before: HostSnapshot;
  readonly timeoutMs?: number;
}

const pair = "/var/snap/k8s/common/var/lib/k8sd/state/server";
/** Not admin.conf: that one is a person's. */
const kubeconfigs = ["kubelet.conf", "proxy.conf", "controller.conf", "scheduler.conf"];

/** Taken while it is a member, and it opens what members may see: that it opens nothing afterwards means something. */
export async function identityOf(member: Host, controlPlane: Host): Promise<Identity> {
  const identity = {
    member: {
      of: "k8sd",
      certificate: await member.readFile(`${pair}.crt`),
      key: await member.readFile(`${pair}.key`),
      opens: ":6400/1.0/k8sd/members",
    },
    programs: (await runsKubernetes(controlPlane)) ? await programsOf(member) : [],
  };
  for (const proof of [identity.member, ...identity.programs]) {
    const letIn = async () => {
      expect((await answerTo(proof, member, controlPlane)).status, `${proof.of} of ${member.name} is let in`).toBe(
        "200",
      );
    };
    // An API server that has just started does not know its roles yet. Not expect.poll, which works in tests alone.
    await vi.waitFor(letIn, { timeout: 60_000, interval: 500 });
  }
  return identity;
}

async function runsKubernetes(controlPlane: Host): Promise<boolean> {
  return (await controlPlane.tryRun(["test", "-e", "/var/snap/k8s/common/args/kube-apiserver"])).exitCode === 0;
}

async function programsOf(member: Host): Promise<readonly Proof[]> {
  const { stdout } = await member.tryRun(["ls", "/etc/kubernetes"]);
  const names = stdout.split("\n").filter((name) => kubeconfigs.includes(name));
  return Promise.all(
    names.map(async (of) => {
      const { certificate, key } = parseKubeconfig(await member.readFile(`/etc/kubernetes/${of}`));
      return { of, certificate, key, opens: ":6443/api/v1/services" };
    }),
  );
}

/** It hears by itself that it is out, and can join again from then on. */
export async function hearsThatItIsOut(host: Host, timeoutMs = 90_000): Promise<void> {
  const own = async () => (await k8s(host, ["local-node-status"])).stderr;
  await expect.poll(own, { timeout: timeoutMs, interval: 500 }).toContain("not part of a Kubernetes cluster");
}

/** After every removal: the host knows that it is out, and nothing of ours is left on it. */
export async function expectOut(host: Host, { before, timeoutMs }: OutOptions): Promise<void> {
  await waitForDaemon(host);
  await hearsThatItIsOut(host, timeoutMs);
  expect((await scanHost(host, before)).filter((line) => !daemonState.test(line))).toEqual([]);
}

/** And what it proved itself with opens nothing on any control plane that is left. */
export async function expectRefused(identity: Identity, host: Host, controlPlanes: readonly Host[]): Promise<void> {
  for (const controlPlane of controlPlanes) {
    const refused = `${controlPlane.name} refuses ${host.name}`;
    expect((await answerTo(identity.member, host, controlPlane)).status, refused).toBe("403");
    for (const proof of identity.programs) {
      const answer = () => answerTo(proof, host, controlPlane);
      const message = `${refused} as ${proof.of}`;
      // kube-apiserver reads its rules anew when it sees that they have changed.
      await expect
        .poll(answer, { message, timeout: 10_000 })
        .toEqual({ status: "403", text: expect.stringContaining("a node that is no member") });
    }
  }
}

async function answerTo({ certificate, key, opens }: Proof, from: Host, to: Host) {
  const at = `/tmp/identity-${randomUUID()}`;
  await from.writeFile(`${at}.crt`, certificate, 0o600);
  await from.writeFile(`${at}.key`, key, 0o600);
  const { stdout } = await from.tryRun([
    ...["curl", "-sk", "--max-time", "20", "--cert", `${at}.crt`, "--key", `${at}.key`],
    ...["-w", "\n%{http_code}", `https://${to.address}${opens}`],
  ]);
  await from.run("rm", `${at}.crt`, `${at}.key`);
  const end = stdout.lastIndexOf("\n");
  return { status: stdout.slice(end + 1), text: stdout.slice(0, end) };
}
