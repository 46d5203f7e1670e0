import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Entry, filesBelow, place } from "./stage-files.ts";

export interface StageOptions {
  /** Folder of the tree; it holds nothing else. Made when it is missing. */
  readonly out: string;
  /** Folder with `bin/` of the upstream programs (test/kubernetes makes one). Absent: only our own programs. */
  readonly components?: string;
  /** Checkout with the built bundles; default: this one. */
  readonly repository?: string;
}

export interface StageResult {
  readonly files: number;
  readonly changed: number;
  readonly removed: number;
}

const thisRepository = resolve(import.meta.dirname, "..");
/** Says that a folder is ours to tidy up. */
const marker = ".staged-by-k8s";

const commandLine = "packages/cli/dist/k8s";
/** Programs of several files, each in a folder of its own. */
const programs = { k8sd: "packages/k8sd/dist/k8sd", "k8s-datastore": "packages/k8sd/dist/k8s-datastore" };
const bundles = {
  "k8sd.js": `${programs.k8sd}/k8sd.js`,
  "k8s-datastore.js": `${programs["k8s-datastore"]}/k8s-datastore.js`,
  "k8s-apiserver-proxy.js": "packages/k8sd/dist/k8s-apiserver-proxy.js",
};

/** Lays out the tree that is `$SNAP` on a node. Only what differs is written; files that belong no longer are removed. */
export async function stageSnap(options: StageOptions): Promise<StageResult> {
  const out = resolve(options.out);
  const before = await existingTree(out);
  const entries = new Map<string, Entry>();
  for (const entry of [
    ...(await ownFiles(options.repository ?? thisRepository)),
    ...(await upstreamFiles(options.components)),
  ])
    entries.set(entry.to, entry);
  const changes = await Promise.all([...entries.values()].map((entry) => place(out, entry)));
  const stale = before.filter((path) => !entries.has(path));
  await Promise.all(stale.map((path) => rm(join(out, path), { force: true })));
  return { files: entries.size, changed: changes.filter(Boolean).length, removed: stale.length };
}

async function existingTree(out: string): Promise<readonly string[]> {
  await mkdir(out, { recursive: true });
  const names = await readdir(out);
  if (names.length > 0 && !names.includes(marker)) {
    throw new Error(`cannot stage into ${out}: it holds other files; name an empty or a new folder`);
  }
  // Written first: a stage that was cut off can be finished by the next one.
  await place(out, { to: marker, content: "" });
  return (await filesBelow(out)).filter((path) => path !== marker);
}

async function ownFiles(repository: string): Promise<readonly Entry[]> {
  const sqlite = join(repository, "packages/k8sd/node_modules/better-sqlite3");
  const native = `prebuilds/linux-${process.arch}.node`;
  const library = (await filesBelow(join(sqlite, "lib"))).map((path) => join("lib", path));
  const wrappers = await readdir(join(repository, "snap/bin"));
  const commands = await filesBelow(join(repository, commandLine));
  const parts = (await Promise.all(Object.values(programs).map((folder) => partsIn(repository, folder)))).flat();
  return [
    ...wrappers.map((name) => ({ to: `bin/${name}`, copyOf: join(repository, "snap/bin", name), mode: 0o755 })),
    { to: "bin/node", linkOf: await nodeProgram(repository) },
    // Node decides by it, without looking into the files, that they are ES modules.
    { to: "lib/package.json", content: '{ "type": "module" }\n' },
    ...Object.entries(bundles).map(([name, from]) => ({
      to: `lib/${name}`,
      copyOf: join(repository, from),
      mode: 0o644,
    })),
    ...parts,
    ...commands.map((path) => ({
      to: `lib/k8s/${path}`,
      copyOf: join(repository, commandLine, path),
      mode: 0o644,
    })),
    ...["package.json", "LICENSE", ...library, native].map((path) => ({
      to: `lib/node_modules/better-sqlite3/${path}`,
      copyOf: join(sqlite, path),
      mode: 0o644,
    })),
    { to: "systemd/k8sd.service", copyOf: join(repository, "snap/systemd/k8sd.service"), mode: 0o644 },
  ];
}

async function partsIn(repository: string, folder: string): Promise<readonly Entry[]> {
  const paths = (await filesBelow(join(repository, folder))).filter((path) => path.endsWith(".js"));
  return paths.map((path) => ({ to: `lib/${path}`, copyOf: join(repository, folder, path), mode: 0o644 }));
}

/** Node.js of the repository, pinned with the dependencies; what runs this file when it is not there. */
async function nodeProgram(repository: string): Promise<string> {
  const pinned = join(repository, "node_modules", `node-linux-${process.arch}`, "bin/node");
  return readFile(join(dirname(pinned), "../package.json")).then(
    () => pinned,
    () => process.execPath,
  );
}

async function upstreamFiles(components: string | undefined): Promise<readonly Entry[]> {
  if (components === undefined) return [];
  const bin = join(components, "bin");
  const names = await filesBelow(bin).catch((cause: unknown) => {
    throw new Error(`cannot stage the programs: ${bin} is missing; run 'npm start' once, it makes them`, { cause });
  });
  return names.map((path) => ({ to: `bin/${path}`, linkOf: join(bin, path) }));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      components: { type: "string" },
      out: { type: "string" },
      "agent-only": { type: "boolean", default: false },
    },
  });
  const { out, components } = values;
  if (out === undefined || (components === undefined) !== values["agent-only"]) {
    throw new Error("usage: node -C source snap/stage.ts --out DIR (--components DIR | --agent-only)");
  }
  const result = await stageSnap({ out, ...(components === undefined ? {} : { components }) });
  process.stdout.write(
    `${result.files} files, ${result.changed} written, ${result.removed} removed: ${resolve(out)}\n`,
  );
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
