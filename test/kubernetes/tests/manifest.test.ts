import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fillTemplate, parseManifest, readManifest } from "../manifest.ts";

const repository = join(import.meta.dirname, "../../..");
const file = join(repository, "snap", "components.yaml");

describe("snap/components.yaml", () => {
  it("names every upstream program that a node runs", async () => {
    const { programs } = await readManifest(file);
    expect(programs.flatMap((program) => (program.optional ? [] : program.files))).toEqual(
      expect.arrayContaining([
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
        "runc",
        "etcd",
        "etcdctl",
        "etcdutl",
        "cni/bridge",
        "cni/host-local",
        "cni/portmap",
        "cni/loopback",
      ]),
    );
  });

  it("has templates that can be filled", async () => {
    for (const { release } of (await readManifest(file)).programs) {
      if (release === undefined) continue;
      const values = { version: release.version, arch: "arm64", file: "tool" };
      for (const url of [release.url, release.checksum]) {
        expect(fillTemplate(url, values)).toMatch(/^https:\/\/[^{}]+$/);
      }
    }
  });

  it.each([
    ["test/kubernetes/go", "k8s.io/kubernetes"],
    ["test/kubernetes/go-etcd", "go.etcd.io/etcd/server/v3"],
  ])("has the same version as %s/go.mod", async (directory, module) => {
    const required = await readFile(join(repository, directory, "go.mod"), "utf8");
    const built = (await readManifest(file)).programs.filter((program) => program.go?.directory === directory);
    expect(built.length).toBeGreaterThan(0);
    for (const { go } of built) expect(required).toMatch(new RegExp(`\\s${module} v${go?.version}\\s`));
  });

  it("may not have a key that nobody reads", async () => {
    const text = (await readFile(file, "utf8")).replace("    probe:", "    prove:");
    expect(() => parseManifest(text, file)).toThrow("cannot use programs.kubernetes: unknown key prove");
  });

  it.each([
    [
      "a source that is not described",
      "sources: [release, go]",
      "sources: [release, debian]",
      "programs.kubernetes.debian",
    ],
    ["an unknown source", "sources: [release, go]", "sources: [luck]", "programs.kubernetes.sources"],
    ["a version that YAML reads as a number", "version: 1.36.3", "version: 1.36", "programs.kubernetes.version"],
  ])("may not have %s", async (_what, from, to, at) => {
    const text = (await readFile(file, "utf8")).replace(from, to);
    expect(() => parseManifest(text, file)).toThrow(at);
  });
});
