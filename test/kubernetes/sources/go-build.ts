import { mkdir, readFile, statfs, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AppError } from "@k8sd/k8sd/lib/app-error.ts";
import { fillTemplate, type GoModule, type Program } from "../manifest.ts";
import type { RunCommand } from "../run-command.ts";
import type { Obtained, SourceContext } from "./source.ts";

export interface GoBuildOptions {
  /** The repository's top folder; a module's directory is given from there. */
  readonly repository: string;
  /** Modules, compiled packages and the linker's temporary files of a first build. */
  readonly neededBytes: number;
}

/** Measured: 1.3 GB of modules, 3.5 GB of compiled packages, and what the linker writes. */
export const goBuildBytes = 6 * 1024 ** 3;

/** 15 minutes of processor time on two cores; slow or shared machines and module downloads get their time. */
const buildDeadlineMs = 40 * 60_000;
const shortDeadlineMs = 30_000;
const heartbeatMs = 20_000;

/** Builds a program from the modules that a go.sum in this repository pins. */
export async function fromGo(
  program: Program,
  context: SourceContext,
  options: GoBuildOptions,
  deps: { readonly run: RunCommand },
): Promise<Obtained> {
  const go = program.go;
  if (go === undefined) throw new AppError("internal", `cannot build ${program.name}: no Go module is described`);
  const directory = join(options.repository, go.directory);
  const settings = await goSettings(directory, context.signal, deps.run);
  await checkSpace([settings.GOCACHE, settings.GOMODCACHE, context.tree], options.neededBytes);

  const started = Date.now();
  let compiled = 0;
  const seconds = (): number => Math.round((Date.now() - started) / 1000);
  const { name } = program;
  context.report(
    `${name}: building ${go.version} from Go modules with ${settings.GOVERSION}; the first time takes minutes`,
  );
  const heartbeat = setInterval(() => {
    context.report(`${name}: still building after ${seconds()} s, ${compiled} packages compiled`);
  }, heartbeatMs);
  const bin = join(context.tree, "bin");
  try {
    for (const { output, target } of goTargets(program, go)) {
      await mkdir(dirname(join(bin, output)), { recursive: true });
      await deps.run({
        // The build leaves the processor to whoever waits for an answer.
        program: "nice",
        args: ["-n", "10", "go", ...buildArguments(go, join(bin, output), target)],
        cwd: directory,
        env: { ...goEnvironment, CGO_ENABLED: "0" },
        signal: context.signal,
        deadlineMs: buildDeadlineMs,
        onLine: (line) => {
          if (!line.startsWith("go: ")) compiled += 1;
        },
      });
    }
  } finally {
    clearInterval(heartbeat);
  }
  if (go.multiCall !== undefined) for (const file of program.files) await symlink(go.multiCall, join(bin, file));
  return { version: go.version, detail: `${settings.GOVERSION}, ${go.directory}` };
}

interface GoTarget {
  /** Below `bin/`. */
  readonly output: string;
  readonly target: string;
}

function goTargets(program: Program, go: GoModule): readonly GoTarget[] {
  if (go.multiCall !== undefined) return [{ output: go.multiCall, target: "." }];
  return program.files.map((file) => {
    const target = go.packages?.[basename(file)];
    if (target === undefined) throw new AppError("invalid", `cannot build ${file}: no Go package is named for it`);
    return { output: file, target };
  });
}

/** A flag or a workspace of the user must not change what is built; a newer toolchain is never fetched in silence. */
const goEnvironment = { GOTOOLCHAIN: "local", GOFLAGS: "-mod=readonly", GOWORK: "off" };

export function buildArguments(go: GoModule, output: string, target: string): readonly string[] {
  const variables = Object.entries(go.variables).map(
    ([name, value]) => `-X ${name}=${fillTemplate(value, { version: go.version })}`,
  );
  const linker = ["-s", "-w", ...variables].join(" ");
  return ["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", linker, "-o", output, target];
}

interface GoSettings {
  readonly GOVERSION: string;
  readonly GOCACHE: string;
  readonly GOMODCACHE: string;
}

async function goSettings(directory: string, signal: AbortSignal, run: RunCommand): Promise<GoSettings> {
  const wanted = /^go (\S+)$/m.exec(await readFile(join(directory, "go.mod"), "utf8"))?.[1] ?? "";
  // Outside of the module: inside, an old Go refuses to answer at all.
  const printed = await run({
    program: "go",
    args: ["env", "-json", "GOVERSION", "GOCACHE", "GOMODCACHE"],
    cwd: "/",
    env: goEnvironment,
    signal,
    deadlineMs: shortDeadlineMs,
  });
  const settings = JSON.parse(printed) as GoSettings;
  if (!atLeast(settings.GOVERSION.replace(/^go/, ""), wanted)) {
    throw new AppError("unavailable", `cannot build with ${settings.GOVERSION}: Go ${wanted} or newer is needed`);
  }
  return settings;
}

/** Compares dotted versions by their numbers; `1.26.8-X:something` counts as 1.26.8. */
export function atLeast(version: string, minimum: string): boolean {
  const numbers = (text: string): readonly number[] => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "0").split(".").map(Number);
  const have = numbers(version);
  for (const [index, needed] of numbers(minimum).entries()) {
    const own = have[index] ?? 0;
    if (own !== needed) return own > needed;
  }
  return true;
}

async function checkSpace(directories: readonly string[], neededBytes: number): Promise<void> {
  for (const directory of directories) {
    const existing = await nearestExisting(directory);
    const { bavail, bsize } = await statfs(existing);
    if (bavail * bsize >= neededBytes) continue;
    const gigabytes = (bytes: number): string => (bytes / 1024 ** 3).toFixed(1);
    throw new AppError(
      "unavailable",
      `cannot build: ${existing} has ${gigabytes(bavail * bsize)} GiB free, ${gigabytes(neededBytes)} are needed`,
    );
  }
}

async function nearestExisting(directory: string): Promise<string> {
  for (let path = directory; ; path = dirname(path)) {
    const found = await statfs(path).then(
      () => true,
      () => false,
    );
    if (found || path === dirname(path)) return path;
  }
}
