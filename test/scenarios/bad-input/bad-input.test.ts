import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** What a user may write, and what the error must name. */
const invalid: readonly { readonly what: string; readonly config: string; readonly says: readonly string[] }[] = [
  { what: "an unknown key", config: "pod-cdir: 10.1.0.0/16", says: ["pod-cdir", "pod-cidr"] },
  {
    what: "an unknown key below a section",
    config: "cluster-config: {dns: {enable: true}}",
    says: ["cluster-config.dns.enable", "enabled"],
  },
  { what: "a value of another type", config: "secure-port: many", says: ["secure-port"] },
  { what: "text that is no YAML", config: "a: [1", says: ["line 1"] },
  { what: "a pod range that is none", config: "pod-cidr: 10.1.0.0", says: ["pod-cidr", "not a valid CIDR"] },
  {
    what: "three pod ranges",
    config: "pod-cidr: 10.1.0.0/16,10.2.0.0/16,10.3.0.0/16",
    says: ["must contain 1 or 2 CIDRs, but found 3 instead"],
  },
  { what: "ranges that overlap", config: "{pod-cidr: 10.1.0.0/16, service-cidr: 10.1.2.0/24}", says: ["overlap"] },
  {
    what: "a Service range too large for IPv6",
    config: "{pod-cidr: 'fd01::/108', service-cidr: 'fd02::/64'}",
    says: ["cannot be larger than /108"],
  },
  {
    what: "gateway without network",
    config: "cluster-config: {gateway: {enabled: true}}",
    says: ["gateway requires network to be enabled"],
  },
  {
    what: "ingress without network",
    config: "cluster-config: {ingress: {enabled: true}}",
    says: ["ingress requires network to be enabled"],
  },
  {
    what: "kube-proxy beside the network",
    config: "cluster-config: {network: {enabled: true, kube-proxy-enabled: true}}",
    says: ["kube-proxy-enabled cannot be set to true when network is enabled"],
  },
  {
    what: "a reclaim policy that is gone",
    config: "cluster-config: {local-storage: {reclaim-policy: Recycle}}",
    says: ["local-storage.reclaim-policy must be one of: Retain, Delete"],
  },
  {
    what: "BGP without an AS number",
    config: "cluster-config: {load-balancer: {bgp-mode: true}}",
    says: ["load-balancer.bgp-local-asn must be set"],
  },
  {
    what: "a load-balancer range that is none",
    config: "cluster-config: {load-balancer: {cidrs: [10.0.0.9-10.0.0.1]}}",
    says: ["load-balancer.cidrs", "greater than the stop IP"],
  },
  {
    what: "a DNS address that is none",
    config: "cluster-config: {dns: {service-ip: here}}",
    says: ["dns.service-ip must be a valid IP address"],
  },
  {
    what: "a datastore nobody knows",
    config: "datastore-type: dqlite",
    says: ["unknown datastore type", "datastore-type"],
  },
  {
    what: "servers without the external datastore",
    config: "datastore-servers: ['https://192.0.2.1:2379']",
    says: ["datastore-servers needs datastore-type to be external"],
  },
  {
    what: "an external datastore without servers",
    config: "datastore-type: external",
    says: ["no datastore servers were set"],
  },
  {
    what: "an authority's key without its certificate",
    config: "ca-key: '-----BEGIN PRIVATE KEY-----'",
    says: ["ca-key"],
  },
  { what: "a certificate that is none", config: "ca-crt: hello", says: ["ca-crt"] },
  {
    what: "a relative base directory",
    config: "containerd-base-dir: here",
    says: ["containerd-base-dir must be an absolute path"],
  },
  {
    what: "an argument that is no flag",
    config: "extra-node-kubelet-args: {'v 2': '1'}",
    says: ["extra-node-kubelet-args"],
  },
  {
    what: "a file name with a folder",
    config: "extra-node-config-files: {../x: y}",
    says: ["extra-node-config-files"],
  },
  { what: "a name that is no name of a host", config: "extra-sans: ['https://x']", says: ["extra-sans"] },
];

describe.skipIf(reason !== undefined)("bootstrap with a configuration that cannot work", () => {
  let host: Host;
  let before: HostSnapshot;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests() });
    before = await host.snapshot();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  test.each(invalid)("$what: says so and changes nothing", async ({ config, says }) => {
    const { exitCode, stdout, stderr } = await k8s(host, ["bootstrap", "--file", "-"], { stdin: config });
    expect(stderr).toMatch(/Failed to read bootstrap configuration|config verification failed|Failed to bootstrap/);
    for (const text of says) expect(stderr).toContain(text);
    expect(exitCode).toBe(1);
    expect(stdout).toBe("");
  });

  test.each([
    ["--address", "192.0.2.77", "no network interface"],
    ["--address", "10.0.0.1:99999", "invalid port number"],
    ["--name", "under_score", "invalid hostname"],
    ["--containerd-base-dir", "relative", "absolute"],
  ])("%s %s: says so and changes nothing", async (flag, value, says) => {
    const { exitCode, stderr } = await k8s(host, ["bootstrap", flag, value]);
    expect(stderr).toContain(says);
    expect(exitCode).toBe(1);
  });

  test("nothing on the host has changed", async () => {
    expect(await scanHost(host, before)).toEqual([]);
  });
});
