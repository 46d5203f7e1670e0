import { readFile, utimes } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { ensureComponents } from "../ensure-components.ts";
import { pauseImage, webImage } from "../images/names.ts";
import { readManifest } from "../manifest.ts";
import { temporaryDirectory, writeScript } from "./support.ts";

/** A user's folder with all programs and a host layer, so that no network and no build is needed. */
async function fillFolder(folder: string): Promise<void> {
  const manifest = await readManifest(join(import.meta.dirname, "../../../snap/components.yaml"));
  for (const file of manifest.programs.flatMap((program) => program.files)) {
    await writeScript(join(folder, basename(file)), `echo ${basename(file)} 9.9`);
  }
  for (const file of manifest.hostLayer.files) await writeScript(join(folder, "usr", file), "echo sh; echo httpd");
}

describe("ensureComponents", () => {
  it("lays out all programs, the host layer and the images; warm it makes nothing; a changed program is another root", async () => {
    await using directory = await temporaryDirectory();
    const from = join(directory.path, "folder");
    await fillFolder(from);
    const lines: string[] = [];
    const options = { from, cache: join(directory.path, "cache"), report: (line: string) => lines.push(line) };

    const cold = await ensureComponents(options);
    expect(cold.programs.map((program) => program.source)).not.toContain("debian");
    expect(await readFile(join(cold.bin, "kubelet"), "utf8")).toContain("echo kubelet 9.9");
    expect(await readFile(join(cold.cni, "bridge"), "utf8")).toContain("echo bridge 9.9");
    expect(await readFile(join(cold.usr, "sbin", "iptables"), "utf8")).toContain("httpd");
    expect(cold.images.map((image) => image.name)).toEqual([pauseImage, webImage]);
    for (const image of cold.images) expect((await readFile(image.archive)).length).toBeGreaterThan(1024);
    expect(lines).toContainEqual(expect.stringMatching(/^kubectl: kubectl 9\.9 from folder .* in \d+\.\d s$/));

    lines.length = 0;
    expect(await ensureComponents(options)).toEqual(cold);
    expect(lines).toEqual([]);

    await writeScript(join(from, "kubectl"), "echo kubectl 10");
    await utimes(join(from, "kubectl"), 1, 1);
    const changed = await ensureComponents(options);
    expect(changed.root).not.toBe(cold.root);
    expect(await readFile(join(changed.bin, "kubectl"), "utf8")).toContain("kubectl 10");
    expect(lines.filter((line) => !line.endsWith("in the cache"))).toEqual([
      expect.stringMatching(/^kubectl: kubectl 10/),
    ]);
  });

  it("does its work once when it is called twice at once", async () => {
    await using directory = await temporaryDirectory();
    const from = join(directory.path, "folder");
    await fillFolder(from);
    const made: string[] = [];
    const report = (line: string): void => {
      if (line.includes(" from folder ")) made.push(line.slice(0, line.indexOf(":")));
    };
    const options = { from, cache: join(directory.path, "cache"), report };
    const [first, second] = await Promise.all([ensureComponents(options), ensureComponents(options)]);
    expect(second).toEqual(first);
    expect(new Set(made).size).toBe(made.length);
  });

  it("adds an optional program for those who ask for it", async () => {
    await using directory = await temporaryDirectory();
    const from = join(directory.path, "folder");
    await fillFolder(from);
    const options = { from, cache: join(directory.path, "cache"), report: () => undefined };
    const { bin } = await ensureComponents({ ...options, also: ["etcd-3.6"] });
    expect(await readFile(join(bin, "etcd-3.6", "etcd"), "utf8")).toContain("echo etcd 9.9");
    await expect(ensureComponents({ ...options, also: ["etcd-2"] })).rejects.toThrow("cannot get etcd-2");
  });

  it("refuses a folder that is not there before anything is fetched", async () => {
    const options = { from: "/no/such/folder", cache: "/no/such/cache", report: () => undefined };
    await expect(ensureComponents(options)).rejects.toThrow("cannot use the components folder /no/such/folder");
  });
});
