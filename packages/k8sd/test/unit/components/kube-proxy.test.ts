import { describe, expect, test } from "vitest";
import { k8sApiserverProxy } from "../../../src/components/k8s-apiserver-proxy.ts";
import { kubeProxy } from "../../../src/components/kube-proxy.ts";
import { aNode, aWorker } from "./support.ts";

const machine = aNode().machine;

describe("kube-proxy", () => {
  const plain = {
    "--cluster-cidr": "10.1.0.0/16",
    "--healthz-bind-address": "127.0.0.1:10256",
    "--kubeconfig": "/etc/kubernetes/proxy.conf",
    "--metrics-bind-address": "127.0.0.1:10249",
    "--profiling": "false",
  };
  test.each([
    ["by default", {}, {}],
    ["with another host name", { hostname: "machine" }, { "--hostname-override": "n1" }],
    [
      "on IPv6 loopback, in brackets",
      { loopback: "::1" },
      { "--healthz-bind-address": "[::1]:10256", "--metrics-bind-address": "[::1]:10249" },
    ],
    [
      "dual stack",
      { network: { ...aNode().network, podCidrs: ["10.1.0.0/16", "fd01::/108"] } },
      { "--cluster-cidr": "10.1.0.0/16,fd01::/108" },
    ],
    [
      "leaving read-only connection tracking alone",
      { machine: { ...machine, conntrackWritable: false } },
      {
        "--conntrack-max-per-core": "0",
        "--conntrack-tcp-timeout-close-wait": "0s",
        "--conntrack-tcp-timeout-established": "0s",
      },
    ],
  ])("runs %s with exactly these arguments", (_case, over, changes) => {
    expect(kubeProxy.render(aNode(over)).service.args).toEqual({ ...plain, ...changes });
  });
});

test("k8s-apiserver-proxy runs with exactly these arguments", () => {
  const plain = {
    "--endpoints": "/var/snap/k8s/common/args/conf.d/k8s-apiserver-proxy.json",
    "--kubeconfig": "/etc/kubernetes/kubelet.conf",
    "--listen": ":6443",
  };
  const { service, files, directories } = k8sApiserverProxy.render(aWorker());
  expect(service.args).toEqual(plain);
  expect(files).toEqual([]);
  expect(directories).toEqual([{ path: "/var/snap/k8s/common/args/conf.d", mode: 0o700 }]);
  expect(k8sApiserverProxy.render(aWorker({ securePort: 16443 })).service.args).toEqual({
    ...plain,
    "--listen": ":16443",
  });
});
