import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { type CleanupPart, cleanUp, cleanupParts } from "../../../src/cluster/cleanup/cleanup.ts";
import { readMade } from "../../../src/cluster/cleanup/made.ts";
import { podNamespaces } from "../../../src/host/containers.ts";
import type { Run } from "../../../src/host/run.ts";
import { createJournal } from "../../../src/node-db/journal.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";
import { temporaryNode } from "../components/support.ts";

const signal = AbortSignal.timeout(30_000);
/** Nothing of the machine that runs the tests is to be changed. */
const noRun: Run = async () => ({ exitCode: 0, stdout: "", stderr: "" });

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function put(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, "");
  }
}

/** A node that made all of containerd's directories but the one of network plugins, where others had put theirs before. */
async function aMachine() {
  const node = await temporaryNode();
  const { paths } = node.view();
  const { containerd } = paths;
  const plugin = join(paths.cniBin, "bridge");
  const foreign = [join(paths.cniBin, "theirs"), join(node.base, "etc/theirs"), join(paths.kubernetes, "theirs")];
  const ours = {
    network: [join(paths.cniConf, "10-k8sd.conflist"), join(paths.cniState, "networks/k8sd/10.1.0.2")],
    containerd: [join(containerd.rootDir, "content/blob"), join(containerd.configDir, "config.toml"), plugin],
    files: [paths.kubeconfig.admin, join(paths.kubeletRoot, "pods/p/volume")],
  };
  const kept = join(paths.args, "kubelet");
  await put(...foreign, ...Object.values(ours).flat(), kept);
  const directories = [
    containerd.configDir,
    dirname(containerd.rootDir),
    containerd.rootDir,
    containerd.stateDir,
  ].concat([paths.cniConf, dirname(paths.cniState), paths.cniState, paths.kubeletRoot, paths.args]);
  const record = (state: "done" | "undone", stepState: "done" | "undone" = "done"): void => {
    using db = openNodeDb(paths.nodeDb);
    const journal = createJournal(db, () => 1);
    const input = { view: { paths }, kubernetes: false };
    journal.begin({ id: "o", requestId: "r", kind: "join", plan: JSON.stringify({ input }), secret: undefined });
    const notes = [
      { files: [], directories },
      { files: [paths.kubeconfig.admin, plugin], directories: [] },
    ];
    for (const [step, note] of notes.entries()) {
      journal.step("o", step, stepState);
      journal.note("o", step, JSON.stringify(note));
    }
    journal.step("o", notes.length, stepState);
    journal.finish("o", state, {});
  };
  const clean = async (...parts: CleanupPart[]): Promise<void> => {
    for (const part of parts) await cleanUp(part, await readMade(paths.nodeDb), { run: noRun }, signal);
  };
  const left = async (...files: readonly string[]): Promise<readonly boolean[]> => Promise.all(files.map(isThere));
  return { paths, ours, foreign, kept, record, clean, left, [Symbol.asyncDispose]: () => node[Symbol.asyncDispose]() };
}

const all = (found: readonly boolean[], there: boolean): void => expect(found).toEqual(found.map(() => there));

test("each part takes away what the node made of it, and again is no error", async () => {
  await using machine = await aMachine();
  const { ours, foreign, kept, record, clean, left } = machine;
  record("done");
  await clean("containers", "network");
  all(await left(...ours.network), false);
  all(await left(...ours.containerd, ...ours.files), true);
  await clean("containerd");
  all(await left(...ours.containerd), false);
  all(await left(...ours.files), true);
  await clean("files");
  all(await left(...ours.files), false);
  await clean(...cleanupParts);
  all(await left(...foreign, kept), true);
});

test("a machine that never was a node, or that has left its cluster, stays as it is", async () => {
  await using machine = await aMachine();
  const { ours, record, clean, left } = machine;
  await clean(...cleanupParts);
  record("undone", "undone");
  await clean(...cleanupParts);
  all(await left(...Object.values(ours).flat()), true);
});

test("it is refused, with what to do, while the node's containerd runs; a socket that nobody serves is none", async () => {
  await using machine = await aMachine();
  const { ours, paths, record, clean, left } = machine;
  record("done");
  const { socket } = paths.containerd;
  await mkdir(dirname(socket), { recursive: true });
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  for (const part of cleanupParts) {
    await expect(clean(part)).rejects.toMatchObject({
      message: `cannot clean up the ${part} of this node: its containerd runs`,
      remedy: expect.stringContaining("k8s leave"),
    });
  }
  all(await left(...Object.values(ours).flat()), true);
  await new Promise((resolve) => server.close(resolve));
  await put(socket);
  await clean("containerd");
  all(await left(...ours.containerd), false);
});

test("the network namespaces of this containerd's pods are found, and no others", async () => {
  const stateDir = await mkdtemp(join(tmpdir(), "k8c-"));
  const task = async (name: string, path?: string): Promise<void> => {
    const file = join(stateDir, "io.containerd.runtime.v2.task/k8s.io", name, "config.json");
    await put(file);
    const namespaces = [{ type: "pid" }, { type: "network", ...(path === undefined ? {} : { path }) }];
    await writeFile(file, JSON.stringify({ linux: { namespaces } }));
  };
  try {
    expect(await podNamespaces(stateDir)).toEqual([]);
    await task("pause", "/var/run/netns/cni-1a-2b");
    await task("container", "/proc/17/ns/net");
    await task("own");
    await task("odd", "/run/netns/../../etc/passwd");
    await put(join(stateDir, "io.containerd.runtime.v2.task/k8s.io/broken/work"));
    expect(await podNamespaces(stateDir)).toEqual(["/var/run/netns/cni-1a-2b"]);
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
});
