import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AppError } from "@k8sd/k8sd/lib/app-error.ts";
import { fillTemplate, type Program } from "../manifest.ts";
import type { RunCommand } from "../run-command.ts";
import { type Downloader, findChecksum } from "./download.ts";
import type { Obtained, SourceContext } from "./source.ts";

const unpackDeadlineMs = 60_000;

/** Gets a program's files from its project's own downloads, each checked against its published checksum. */
export async function fromRelease(
  program: Program,
  context: SourceContext,
  deps: { readonly downloader: Downloader; readonly run: RunCommand },
): Promise<Obtained> {
  const release = program.release;
  if (release === undefined) throw new AppError("internal", `cannot download ${program.name}: no release is described`);
  const scratch = await mkdtemp(join(context.scratch, "release-"));
  try {
    const fetched = new Map<string, string>();
    for (const file of program.files) {
      const values = { version: release.version, arch: context.architecture, file: basename(file) };
      const url = fillTemplate(release.url, values);
      let download = fetched.get(url);
      if (download === undefined) {
        download = join(scratch, `${fetched.size}`);
        const published = await deps.downloader.text(fillTemplate(release.checksum, values), context.signal);
        const sha256 = findChecksum(published, url);
        await deps.downloader.file({ url, sha256, destination: download, signal: context.signal });
        fetched.set(url, download);
      }
      const target = join(context.tree, "bin", file);
      await mkdir(dirname(target), { recursive: true });
      if (release.archivePath === undefined) {
        await rename(download, target);
      } else {
        const member = fillTemplate(release.archivePath, values);
        await deps.run({
          program: "tar",
          args: ["-xzf", download, "-C", scratch, member],
          signal: context.signal,
          deadlineMs: unpackDeadlineMs,
        });
        await rename(join(scratch, member), target);
      }
      await chmod(target, 0o755);
    }
    return {
      version: release.version,
      detail: new URL(
        fillTemplate(release.url, {
          version: release.version,
          arch: context.architecture,
          file: basename(program.files[0] ?? ""),
        }),
      ).host,
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
