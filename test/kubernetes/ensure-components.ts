import { randomUUID } from "node:crypto";
import { readdir, readFile, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { AppError, errorText } from "@k8sd/k8sd/lib/app-error.ts";
import { type Cache, cacheDirectory, cacheKey, createCache, linkTree } from "./cache.ts";
import { type MadeImage, makeImages } from "./images/make-images.ts";
import { type HostLayer, type Program, readManifest } from "./manifest.ts";
import { createPrograms, type Programs } from "./programs.ts";
import { runCommand } from "./run-command.ts";
import { createDebian } from "./sources/debian.ts";
import { createDownloader } from "./sources/download.ts";
import { checkFolder, copyLayer, type FolderFile, findInFolder, findLayer } from "./sources/folder.ts";
import { goBuildBytes } from "./sources/go-build.ts";
import { hostLayerFromDebian } from "./sources/host-layer.ts";
import type { Obtained, SourceContext } from "./sources/source.ts";

export interface EnsureOptions {
  readonly signal?: AbortSignal;
  /** A folder of the user with some or all of the programs; K8SD_COMPONENTS_DIR when it is not given. */
  readonly from?: string;
  /** Optional programs of snap/components.yaml that are wanted too, by name. */
  readonly also?: readonly string[];
  /** Instead of the user's cache directory. */
  readonly cache?: string;
  readonly report: (line: string) => void;
}

export interface Components {
  /** Holds everything below; stays as it is once it exists. */
  readonly root: string;
  /** kube-*, kubelet, kubectl, containerd with its shim, ctr, runc, etcd, etcdctl. */
  readonly bin: string;
  readonly cni: string;
  /** A layer to lay over a test host's /usr. */
  readonly usr: string;
  /** OCI archives by absolute path. */
  readonly images: readonly MadeImage[];
  readonly programs: readonly ObtainedProgram[];
}

interface ObtainedProgram extends Obtained {
  readonly name: string;
  /** folder, release, debian or go. */
  readonly source: string;
}

interface PartRecord extends ObtainedProgram {
  readonly images?: readonly MadeImage[];
}

interface Part {
  readonly name: string;
  readonly key: string;
  /** @param need has another part made first. */
  make(context: SourceContext, need: (part: Part) => Promise<unknown>): Promise<PartRecord>;
}

const repository = join(import.meta.dirname, "..", "..");

/** Has every upstream program, the host layer and the images at hand, from the first source that works for each. */
export async function ensureComponents(options: EnsureOptions): Promise<Components> {
  const signal = options.signal ?? new AbortController().signal;
  const folder = options.from ?? (process.env.K8SD_COMPONENTS_DIR || undefined);
  if (folder !== undefined) await checkFolder(folder);
  const cache = createCache({
    directory: options.cache ?? cacheDirectory(process.env),
    signal,
    report: options.report,
  });
  const manifest = await readManifest(join(repository, "snap", "components.yaml"));
  const wantedPrograms = selectPrograms(manifest.programs, options.also ?? []);
  const architecture = goArchitecture(process.arch);
  await using stack = new AsyncDisposableStack();

  const apt = createLazy(async () => {
    const scratch = stack.use(await cache.scratch());
    return createDebian({ archive: manifest.debian, directory: scratch.path, signal }, { run: runCommand });
  });
  const programs = createPrograms(
    { repository, neededBytes: goBuildBytes },
    { run: runCommand, downloader: createDownloader(), debian: apt },
  );
  const parts = await planParts(wantedPrograms, manifest.hostLayer, { folder, architecture, cache, programs, apt });
  const rootName = cacheKey(
    "components",
    parts.map((part) => part.key),
  );
  const existing = await cache.find<readonly PartRecord[]>("components", rootName);
  const begun = new Map<string, Promise<PartRecord>>();
  const records = existing ?? (await make(parts, rootName));
  await pointCurrentAt(cache, rootName);
  return describe(cache.path("components", rootName), records);

  async function make(wanted: readonly Part[], name: string): Promise<readonly PartRecord[]> {
    // One failure does not stop the others: what they get is cached, and all that is missing is told at once.
    const results = await Promise.allSettled(wanted.map((part) => obtainPart(part)));
    signal.throwIfAborted();
    const failures = results.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : []));
    if (failures.length > 0) throw missing(failures);
    const obtained = results.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    await cache.obtain("components", name, async (directory) => {
      for (const part of wanted) await linkTree(join(cache.path("parts", part.key), "tree"), directory);
      return obtained;
    });
    await cache.prune();
    return obtained;
  }

  function obtainPart(part: Part): Promise<PartRecord> {
    const running = begun.get(part.key) ?? startPart(part);
    begun.set(part.key, running);
    return running;
  }

  async function startPart(part: Part): Promise<PartRecord> {
    const started = Date.now();
    let made = false;
    try {
      const record = await cache.obtain("parts", part.key, async (directory) => {
        made = true;
        await using scratch = await cache.scratch();
        const tree = join(directory, "tree");
        const context = { tree, scratch: scratch.path, architecture, signal, report: options.report };
        return await part.make(context, obtainPart);
      });
      const how = made ? `from ${record.source} (${record.detail}) in ${elapsed(started)}` : "in the cache";
      options.report(`${part.name}: ${record.version} ${how}`);
      return record;
    } catch (error) {
      if (!signal.aborted) options.report(`${part.name}: missing`);
      throw error;
    }
  }
}

interface PlanDeps {
  readonly folder: string | undefined;
  readonly architecture: string;
  readonly cache: Cache;
  readonly programs: Programs;
  readonly apt: () => Promise<ReturnType<typeof createDebian>>;
}

/** What has to be there, each with a key of all its inputs; nothing is made here. */
async function planParts(programs: readonly Program[], hostLayer: HostLayer, deps: PlanDeps): Promise<readonly Part[]> {
  const layer = await layerPart(hostLayer, deps);
  const images = await imagesPart(layer, deps);
  return [...(await Promise.all(programs.map((program) => programPart(program, deps)))), layer, images];
}

function selectPrograms(all: readonly Program[], also: readonly string[]): readonly Program[] {
  const unknown = also.find((name) => !all.some((program) => program.name === name));
  if (unknown !== undefined) {
    const names = all.map((program) => program.name).join(", ");
    throw new AppError("invalid", `cannot get ${unknown}: snap/components.yaml does not know it`, {
      field: unknown,
      remedy: `name one of ${names}`,
    });
  }
  return all.filter((program) => !program.optional || also.includes(program.name));
}

async function programPart(program: Program, deps: PlanDeps): Promise<Part> {
  const found = deps.folder === undefined ? undefined : await findInFolder(deps.folder, program.files);
  const inputs = found === undefined ? await goInputs(program) : found.map((file: FolderFile) => file.mark);
  return {
    name: program.name,
    key: cacheKey(program.name, [program, deps.architecture, inputs]),
    make: async (context) => ({ name: program.name, ...(await deps.programs.obtain(program, found, context)) }),
  };
}

async function goInputs(program: Program): Promise<unknown> {
  return program.go === undefined ? [] : sourceTexts(join(repository, program.go.directory));
}

async function layerPart(layer: HostLayer, deps: PlanDeps): Promise<Part> {
  const { folder } = deps;
  const mark = folder === undefined ? undefined : await findLayer(folder, layer.files);
  const code = await readFile(join(import.meta.dirname, "sources", "host-layer.ts"), "utf8");
  return {
    name: "host-layer",
    key: cacheKey("host-layer", [layer, deps.architecture, mark ?? code]),
    async make(context) {
      if (folder !== undefined && mark !== undefined) {
        await copyLayer(folder, context.tree);
        return { name: "host-layer", source: "folder", version: "as it is", detail: folder };
      }
      const made = await hostLayerFromDebian(layer, context, { debian: await deps.apt() });
      return { name: "host-layer", source: "debian", ...made };
    },
  };
}

async function imagesPart(layer: Part, deps: PlanDeps): Promise<Part> {
  const code = await sourceTexts(join(import.meta.dirname, "images"));
  return {
    name: "images",
    key: cacheKey("images", [layer.key, deps.architecture, code]),
    async make(context, need) {
      await need(layer);
      const busybox = join(deps.cache.path("parts", layer.key), "tree", "usr", "bin", "busybox");
      return { name: "images", source: "local", ...(await makeImages(context, { run: runCommand, busybox })) };
    },
  };
}

/** A folder's source files with their names, tests left out. */
async function sourceTexts(directory: string): Promise<readonly (readonly [string, string])[]> {
  const names = (await readdir(directory)).filter((name) => !name.endsWith(".test.ts")).toSorted();
  return Promise.all(names.map(async (name) => [name, await readFile(join(directory, name), "utf8")] as const));
}

/** `current` is for people and scripts: the programs that the last run had at hand. */
async function pointCurrentAt(cache: Cache, rootName: string): Promise<void> {
  const temporary = join(cache.directory, `current.${randomUUID()}`);
  await symlink(join("components", rootName), temporary);
  await rename(temporary, join(cache.directory, "current"));
}

function describe(root: string, records: readonly PartRecord[]): Components {
  const images = records.flatMap((record) => record.images ?? []);
  return {
    root,
    bin: join(root, "bin"),
    cni: join(root, "bin", "cni"),
    usr: join(root, "usr"),
    images: images.map((image) => ({ ...image, archive: join(root, image.archive) })),
    programs: records.map(({ name, version, source, detail }) => ({ name, version, source, detail })),
  };
}

function missing(failures: readonly unknown[]): AppError {
  const remedies = failures.flatMap((each) =>
    each instanceof AppError && each.remedy !== undefined ? [each.remedy] : [],
  );
  return new AppError("unavailable", [...new Set(failures.map(errorText))].join("\n"), {
    remedy: [...new Set(remedies)].join("\n") || "see test/kubernetes/README.md for what each source needs",
    cause: failures[0],
  });
}

function goArchitecture(name: string): string {
  if (name === "x64") return "amd64";
  if (name === "arm64") return "arm64";
  throw new AppError("invalid", `cannot get Kubernetes for ${name}: only x64 and arm64 are supported`);
}

function elapsed(started: number): string {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`;
}

function createLazy<T>(make: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | undefined;
  return () => {
    value ??= make();
    return value;
  };
}
