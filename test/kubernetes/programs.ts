import { copyFile, cp, mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { AppError, errorText } from "@k8sd/k8sd/lib/app-error.ts";
import { fillTemplate, type Program, type SourceName } from "./manifest.ts";
import type { RunCommand } from "./run-command.ts";
import type { Debian } from "./sources/debian.ts";
import type { Downloader } from "./sources/download.ts";
import { copyFromFolder, type FolderFile } from "./sources/folder.ts";
import { fromGo, type GoBuildOptions } from "./sources/go-build.ts";
import { fromRelease } from "./sources/release.ts";
import type { Obtained, SourceContext } from "./sources/source.ts";

export interface ProgramsDeps {
  readonly run: RunCommand;
  readonly downloader: Downloader;
  /** Opened when the first program needs it: package lists cost seconds. */
  readonly debian: () => Promise<Debian>;
}

export interface Programs {
  /** Gets a program from the user's folder if it was found there, else from the first of its sources that works. */
  obtain(
    program: Program,
    found: readonly FolderFile[] | undefined,
    context: SourceContext,
  ): Promise<Obtained & { readonly source: string }>;
}

/** Documents of packages that are taken whole. */
const unwanted = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian"];
const probeDeadlineMs = 20_000;

const remedies: { readonly [K in SourceName]: string } = {
  release: "allow HTTPS to the servers named in snap/components.yaml",
  debian: "make apt-get and Debian's mirror reachable",
  go: "install the Go that test/kubernetes/go/go.mod asks for, with a module proxy and 6 GiB of free disk",
};

export function createPrograms(options: GoBuildOptions, deps: ProgramsDeps): Programs {
  const sources: { readonly [K in SourceName]: (program: Program, context: SourceContext) => Promise<Obtained> } = {
    release: (program, context) => fromRelease(program, context, deps),
    debian: (program, context) => fromDebian(program, context, deps),
    go: (program, context) => fromGo(program, context, options, deps),
  };

  return {
    async obtain(program, found, context) {
      if (found !== undefined) {
        await copyFromFolder(found, context.tree);
        return { source: "folder", version: await probe(program, context, deps.run), detail: found[0]?.real ?? "" };
      }
      const reasons: string[] = [];
      for (const name of program.sources) {
        try {
          const obtained = await sources[name](program, context);
          await probe(program, context, deps.run);
          return { source: name, ...obtained };
        } catch (error) {
          context.signal.throwIfAborted();
          const reason = errorText(error);
          reasons.push(`${name}: ${reason}`);
          context.report(`${program.name}: not from ${name}: ${reason}`);
          // A half of one source must not be mixed with the next one.
          await rm(context.tree, { recursive: true, force: true });
        }
      }
      const ways = program.sources.map((name) => remedies[name]).join(", or ");
      throw new AppError("unavailable", `cannot get ${program.name} ${program.version}: ${reasons.join("; ")}`, {
        remedy: `${program.name}: ${ways}; or set K8SD_COMPONENTS_DIR to a folder that holds ${program.files.join(", ")}`,
      });
    },
  };
}

async function fromDebian(program: Program, context: SourceContext, deps: ProgramsDeps): Promise<Obtained> {
  const wish = program.debian;
  if (wish === undefined) throw new AppError("internal", `cannot unpack ${program.name}: no packages are described`);
  const debian = await deps.debian();
  const unpacked = join(context.scratch, "debian");
  const { suite, version } = await debian.unpack(wish, unpacked);
  if (wish.into !== undefined) {
    await cp(unpacked, join(context.tree, "bin", wish.into), { recursive: true, verbatimSymlinks: true });
    for (const each of unwanted) await rm(join(context.tree, "bin", wish.into, each), { recursive: true, force: true });
  }
  for (const file of wish.into === undefined ? program.files : []) {
    const target = join(context.tree, "bin", file);
    await mkdir(join(target, ".."), { recursive: true });
    await copyFile(join(unpacked, fillTemplate(wish.path, { file: basename(file) })), target);
  }
  return { version, detail: `${suite}: ${wish.packages.join(", ")}` };
}

/** Starts each program once: a binary for another machine or a newer C library must not be found out later. */
async function probe(program: Program, context: SourceContext, run: RunCommand): Promise<string> {
  let first = "as it is";
  for (const file of program.probe === undefined ? [] : program.files.slice(0, 1)) {
    const printed = await run({
      program: join(context.tree, "bin", file),
      args: program.probe ?? [],
      env: { LD_LIBRARY_PATH: libraryPath(join(context.scratch, "debian")) },
      signal: context.signal,
      deadlineMs: probeDeadlineMs,
    });
    first = printed.split("\n")[0] ?? first;
  }
  return first;
}

/** Libraries that came with the packages, which a test host will have through its layer. */
function libraryPath(unpacked: string): string {
  const triplets = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
  return triplets.flatMap((each) => [join(unpacked, "usr/lib", each), join(unpacked, "lib", each)]).join(":");
}
