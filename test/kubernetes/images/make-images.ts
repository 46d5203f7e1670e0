import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, errorText } from "@k8sd/k8sd/lib/app-error.ts";
import type { RunCommand } from "../run-command.ts";
import type { Obtained, SourceContext } from "../sources/source.ts";
import { pauseImage, webImage } from "./names.ts";
import { type Image, makeImage } from "./oci.ts";
import type { TarEntry } from "./tar.ts";

const compileDeadlineMs = 120_000;
const here = import.meta.dirname;

/** The page that the web image serves; `/cgi-bin/hostname` tells which Pod answered. */
export const testPage = "<!doctype html><title>k8sd</title><p>It works: this page comes from a Pod.</p>\n";

export interface MadeImage {
  readonly name: string;
  readonly archive: string;
  readonly digest: string;
}

/** Writes `images/*.tar` below the tree: nothing is pulled, all is made of a small program and busybox. */
export async function makeImages(
  context: SourceContext,
  deps: { readonly run: RunCommand; readonly busybox: string },
): Promise<Obtained & { readonly images: readonly MadeImage[] }> {
  const pause = await buildPause(context, deps.run);
  const applets = await deps.run({
    program: deps.busybox,
    args: ["--list"],
    signal: context.signal,
    deadlineMs: compileDeadlineMs,
  });
  const { architecture } = context;
  const made: readonly (readonly [string, string, Image])[] = [
    [
      pauseImage,
      "pause.tar",
      makeImage({ name: pauseImage, architecture, files: [program("pause", pause.program)], entrypoint: ["/pause"] }),
    ],
    [
      webImage,
      "web.tar",
      makeImage({
        name: webImage,
        architecture,
        files: webFiles(await readFile(deps.busybox), applets.trim().split("\n")),
        entrypoint: ["/bin/httpd", "-f", "-v", "-p", "80", "-h", "/www"],
        ports: [80],
      }),
    ],
  ];
  const images: MadeImage[] = [];
  for (const [name, file, image] of made) {
    const archive = join("images", file);
    await mkdir(join(context.tree, "images"), { recursive: true });
    await writeFile(join(context.tree, archive), image.archive);
    images.push({ name, archive, digest: image.digest });
  }
  return { version: "1", detail: `pause by ${pause.compiler}, web of busybox`, images };
}

/** busybox with its shell and applets, so that `kubectl exec` finds what people type, and httpd's documents. */
export function webFiles(busybox: Uint8Array, applets: readonly string[]): readonly TarEntry[] {
  const directories = ["bin", "etc", "tmp", "www", "www/cgi-bin", "proc", "sys", "dev"];
  const hostname = '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\nhostname\n';
  const names = applets.filter((name) => name !== "busybox" && /^[\w.[\]+-]+$/.test(name)).toSorted();
  return [
    ...directories.map((path) => ({ kind: "directory", path, mode: path === "tmp" ? 0o1777 : 0o755 }) as const),
    program("bin/busybox", busybox),
    ...names.map((name) => ({ kind: "link", path: `bin/${name}`, target: "busybox" }) as const),
    text("etc/passwd", "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644),
    text("etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644),
    text("www/index.html", testPage, 0o644),
    text("www/cgi-bin/hostname", hostname, 0o755),
  ];
}

function program(path: string, content: Uint8Array): TarEntry {
  return { kind: "file", path, mode: 0o755, content };
}

function text(path: string, content: string, mode: number): TarEntry {
  return { kind: "file", path, mode, content: Buffer.from(content) };
}

interface BuiltPause {
  readonly program: Uint8Array;
  readonly compiler: string;
}

/** A C compiler makes 700 kB that use no memory; Go, which the Kubernetes build needs anyway, is the fallback. */
async function buildPause(context: SourceContext, run: RunCommand): Promise<BuiltPause> {
  const scratch = await mkdtemp(join(context.scratch, "pause-"));
  const output = join(scratch, "pause");
  const compilers = [
    { program: "gcc", args: ["-static", "-Os", "-s", "-Wl,--build-id=none", "-o", output, "pause.c"] },
    { program: "cc", args: ["-static", "-Os", "-s", "-Wl,--build-id=none", "-o", output, "pause.c"] },
    { program: "go", args: ["build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", output, "pause.go"] },
  ];
  const reasons: string[] = [];
  try {
    for (const compiler of compilers) {
      try {
        await run({
          ...compiler,
          cwd: here,
          env: { CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "", GOWORK: "off" },
          signal: context.signal,
          deadlineMs: compileDeadlineMs,
        });
        return { program: await readFile(output), compiler: compiler.program };
      } catch (error) {
        context.signal.throwIfAborted();
        reasons.push(errorText(error));
      }
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  throw new AppError("unavailable", `cannot compile the pause program: ${reasons.join("; ")}`, {
    remedy: "install gcc with a static C library, or Go",
  });
}
