import { chmod, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@k8sd/k8sd/lib/app-error.ts";
import { describe, expect, it } from "vitest";
import { createPrograms, type Programs } from "../programs.ts";
import { type Command, runCommand } from "../run-command.ts";
import type { Debian } from "../sources/debian.ts";
import type { Downloader } from "../sources/download.ts";
import { findInFolder } from "../sources/folder.ts";
import { aContext, aProgram, temporaryDirectory, writeScript } from "./support.ts";

const noRelease: Downloader = {
  text: () => Promise.reject(new AppError("unavailable", "cannot resolve example.org")),
  file: () => Promise.reject(new Error("not asked for")),
};
const noDebian: Debian = { unpack: () => Promise.reject(new AppError("unavailable", "newer: no such suite")) };

/** Packages whose programs run the given line of shell. */
function debianWith(body: string): Debian {
  return {
    async unpack(_wish, target) {
      await writeScript(join(target, "usr/bin/tool"), body);
      return { suite: "newer", version: "1.2.4-1" };
    },
  };
}

function programsWith(deps: { readonly downloader?: Downloader; readonly debian?: Debian }): Programs {
  const run = (command: Command): Promise<string> => {
    // Nothing is built in tests: Go is "not installed" here.
    if (command.program === "go")
      return Promise.reject(new AppError("not-found", "cannot run go: it is not installed"));
    return runCommand(command);
  };
  return createPrograms(
    { repository: join(import.meta.dirname, "../../.."), neededBytes: 1 },
    {
      run,
      downloader: deps.downloader ?? noRelease,
      debian: async () => deps.debian ?? noDebian,
    },
  );
}

describe("a program", () => {
  it("comes from the next source when one fails, and the reason is reported", async () => {
    await using directory = await temporaryDirectory();
    const lines: string[] = [];
    const context = await aContext(directory.path, (line) => lines.push(line));
    const obtained = await programsWith({ debian: debianWith("echo 1.2.4") }).obtain(aProgram(), undefined, context);
    expect(obtained).toEqual({ source: "debian", version: "1.2.4-1", detail: "newer: tool" });
    expect(lines).toEqual(["tool: not from release: cannot resolve example.org"]);
    expect(await readFile(join(context.tree, "bin/tool"), "utf8")).toContain("echo 1.2.4");
  });

  it("comes from the sources in their given order", async () => {
    await using directory = await temporaryDirectory();
    const lines: string[] = [];
    const context = await aContext(directory.path, (line) => lines.push(line));
    const program = aProgram({ sources: ["debian", "release"] });
    await expect(programsWith({}).obtain(program, undefined, context)).rejects.toThrow("cannot get tool");
    expect(lines.map((line) => line.split(":")[1])).toEqual([" not from debian", " not from release"]);
  });

  it("that does not run on this machine is not taken, and nothing of it is left for the next source", async () => {
    await using directory = await temporaryDirectory();
    const context = await aContext(directory.path);
    const program = aProgram({ sources: ["debian"], probe: ["--version"] });
    const obtained = programsWith({ debian: debianWith("echo needs a newer libc >&2; exit 1") });
    await expect(obtained.obtain(program, undefined, context)).rejects.toThrow("needs a newer libc");
    expect(await readdir(directory.path)).toEqual(["scratch"]);
  });

  it("that comes from nowhere is an error with each reason and what to do about it", async () => {
    await using directory = await temporaryDirectory();
    const program = aProgram({
      sources: ["release", "debian", "go"],
      go: { version: "1.2.3", directory: "test/kubernetes/go", multiCall: "tool", variables: {} },
    });
    const error: unknown = await programsWith({})
      .obtain(program, undefined, await aContext(directory.path))
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).message).toBe(
      "cannot get tool 1.2.3: release: cannot resolve example.org; debian: newer: no such suite; " +
        "go: cannot run go: it is not installed",
    );
    expect((error as AppError).remedy).toContain("install the Go that test/kubernetes/go/go.mod asks for");
    expect((error as AppError).remedy).toContain("set K8SD_COMPONENTS_DIR to a folder that holds tool");
  });

  it("stops at once when the caller gives up", async () => {
    await using directory = await temporaryDirectory();
    const stop = new AbortController();
    const downloader: Downloader = {
      ...noRelease,
      text: () => {
        stop.abort(new Error("enough"));
        return Promise.reject(new Error("aborted"));
      },
    };
    const context = { ...(await aContext(directory.path)), signal: stop.signal };
    const obtained = programsWith({ downloader, debian: debianWith("echo 1") }).obtain(aProgram(), undefined, context);
    await expect(obtained).rejects.toThrow("enough");
  });
});

describe("the user's folder", () => {
  it("gives a program before any other source, under bin/ or flat, and keeps one multi-call binary one", async () => {
    await using directory = await temporaryDirectory();
    const folder = join(directory.path, "folder");
    await writeScript(join(folder, "bin", "all"), "echo all 9.9");
    await writeScript(join(folder, "bridge"), "echo bridge");
    for (const name of ["one", "two"]) await symlink("all", join(folder, "bin", name));
    const program = aProgram({ files: ["one", "two", "cni/bridge"], probe: ["--version"] });
    const found = await findInFolder(folder, program.files);
    const context = await aContext(directory.path);
    const obtained = await programsWith({}).obtain(program, found, context);
    expect(obtained).toMatchObject({ source: "folder", version: "all 9.9" });
    expect((await readdir(join(context.tree, "bin"), { recursive: true })).toSorted()).toEqual([
      "all",
      "cni",
      "cni/bridge",
      "one",
      "two",
    ]);
  });

  it("does not count when one of a program's files is missing or cannot be executed", async () => {
    await using directory = await temporaryDirectory();
    await writeScript(join(directory.path, "one"), "echo");
    await writeScript(join(directory.path, "two"), "echo");
    expect(await findInFolder(directory.path, ["one", "two"])).toHaveLength(2);
    expect(await findInFolder(directory.path, ["one", "two", "three"])).toBeUndefined();
    await chmod(join(directory.path, "two"), 0o644);
    expect(await findInFolder(directory.path, ["one", "two"])).toBeUndefined();
  });
});
