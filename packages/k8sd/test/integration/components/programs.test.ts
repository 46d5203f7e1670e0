import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { execa } from "execa";
import { parse } from "smol-toml";
import { describe, expect, test } from "vitest";
import type { NodeView } from "../../../src/components/component.ts";
import { containerd } from "../../../src/components/containerd.ts";
import { allComponents } from "../../../src/components/wanted.ts";
import { aNode } from "../../unit/components/support.ts";
import { temporaryNode } from "./support.ts";

/** The tree that `npm start` and `npm test` stage; without it there is nothing to ask. */
const staged = process.env.K8SD_STAGED;
const snap =
  staged === undefined
    ? resolve(import.meta.dirname, "../../../../../dist/snap")
    : (JSON.parse(staged) as { snap: string }).snap;
const bin = join(snap, "bin");

/** Marked in the help of Kubernetes 1.36, with no other way that leaves the user's own flags in force. */
const deprecatedButNeeded = ["kube-scheduler --kubeconfig", "kube-scheduler --profiling"];

/** Nodes that between them render every argument there is. */
const nodes: readonly NodeView[] = [
  aNode({
    hostname: "machine",
    kubelet: { ...aNode().kubelet, cloudProvider: "external" },
    machine: { ...aNode().machine, conntrackWritable: false },
  }),
  aNode({
    datastore: {
      engine: "etcd",
      endpoints: ["https://127.0.0.1:2379"],
      clientPort: 2379,
      peerPort: 2380,
      initialCluster: { state: "new", peers: {} },
    },
  }),
];

describe.skipIf(!existsSync(join(bin, "kube-apiserver")))("the real programs", () => {
  const upstream = allComponents
    // Our own two take no --help; their tests start them with their arguments.
    .filter(({ name }) => name !== "k8s-datastore" && name !== "k8s-apiserver-proxy")
    .map((component) => ({ component, name: component.name }));

  test.each(upstream)("$name knows every argument it gets", async ({ component, name }) => {
    const { stdout } = await execa(join(bin, name), ["--help"]);
    const lines = stdout.split("\n");
    const wanted = nodes
      .filter((node) => component.wanted(node))
      .flatMap((node) => Object.keys(component.render(node).service.args));
    for (const flag of new Set(wanted)) {
      const line = lines.find((text) => new RegExp(`^\\s*(-\\w, )?${flag}(\\s|=|$)`).test(text));
      expect(line, `${name} ${flag}`).toBeDefined();
      if (!deprecatedButNeeded.includes(`${name} ${flag}`)) expect(line).not.toContain("DEPRECATED");
    }
  });

  test("containerd takes over every line of its configuration", async () => {
    await using node = await temporaryNode();
    const [file] = containerd.render(node.view()).files;
    if (file === undefined) throw new Error("no configuration");
    await mkdir(dirname(file.path), { recursive: true });
    await writeFile(file.path, file.content);
    const { stdout, stderr } = await execa(join(bin, "containerd"), ["--config", file.path, "config", "dump"]);
    expect(stderr).toBe("");
    const { cgroup: _default, ...ours } = parse(String(file.content));
    expect(parse(stdout)).toMatchObject(ours);
  });
});
