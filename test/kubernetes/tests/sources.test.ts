import { mkdir, readdir, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { HostLayer, Program } from "../manifest.ts";
import { type Command, runCommand } from "../run-command.ts";
import { aptConfiguration, type Debian, sourcesFile } from "../sources/debian.ts";
import { atLeast, buildArguments, fromGo } from "../sources/go-build.ts";
import { hostLayerFromDebian } from "../sources/host-layer.ts";
import { aContext, aProgram, temporaryDirectory, writeScript } from "./support.ts";

const signal = new AbortController().signal;
const archive = { mirror: "http://m/debian", securityMirror: "http://m/security", keyring: "/k.gpg", stable: ["old"] };

describe("Debian's package lists", () => {
  it("of a newer suite are that suite alone, signed by Debian", () => {
    expect(sourcesFile("newer", archive)).toBe(
      "Types: deb\nURIs: http://m/debian\nSuites: newer\nComponents: main\nSigned-By: /k.gpg\n",
    );
  });

  it("of a stable suite have its updates and security updates", () => {
    const text = sourcesFile("old", archive);
    expect(text).toContain("Suites: old old-updates\n");
    expect(text).toContain("URIs: http://m/security\nSuites: old-security\n");
  });

  it("use the machine's way to servers, and none of its hooks, lists or packages", () => {
    const machine = [
      'Acquire::http::Proxy "http://proxy:3128";',
      'Acquire::Check-Valid-Until "false";',
      'Acquire::Languages "de";',
      'APT::Update::Post-Invoke:: "rm -rf /var/cache/something";',
      'Dir::State::lists "/var/lib/apt/lists";',
    ].join("\n");
    const lines = aptConfiguration("/home", machine).trim().split("\n");
    expect(lines.slice(0, 2)).toEqual([
      'Acquire::http::Proxy "http://proxy:3128";',
      'Acquire::Check-Valid-Until "false";',
    ]);
    expect(lines.slice(2)).toEqual([
      'Dir::Etc::main "/dev/null";',
      'Dir::Etc::parts "/dev/null";',
      'Dir::Etc::sourcelist "/dev/null";',
      'Dir::Etc::sourceparts "/home/sources";',
      'Dir::State::lists "/home/lists";',
      'Dir::State::status "/dev/null";',
      'Dir::Cache "/home/cache";',
      'APT::Sandbox::User "root";',
      'Acquire::Languages "none";',
    ]);
  });
});

describe("the host layer", () => {
  const layer: HostLayer = { suites: ["old"], packages: ["tools"], minimum: "1", files: ["sbin/iptables", "bin/tool"] };
  const debianWith = (...files: readonly string[]): Debian => ({
    async unpack(_wish, target) {
      for (const file of files) await writeScript(join(target, file), "true");
      return { suite: "old", version: "1.8" };
    },
  });
  const needed = ["usr/sbin/xtables-nft-multi", "bin/tool"];

  it("merges the packages into usr/ and leaves out what would stand before the machine's own", async () => {
    await using directory = await temporaryDirectory();
    const context = await aContext(directory.path);
    const extra = ["lib/x86_64-linux-gnu/libmnl.so.0", "lib/systemd/system/tool.service", "usr/share/doc/tool/README"];
    await hostLayerFromDebian(layer, context, { debian: debianWith(...needed, ...extra) });
    const found = await readdir(join(context.tree, "usr"), { recursive: true, withFileTypes: true });
    const files = found.filter((each) => each.isFile()).map((each) => each.name);
    expect(files.toSorted()).toEqual(["libmnl.so.0", "tool", "xtables-nft-multi"]);
    expect(await readlink(join(context.tree, "usr/sbin/iptables"))).toBe("xtables-nft-multi");
  });

  it.each(["libc.so.6", "ld-linux-x86-64.so.2", "libsystemd.so.0"])("refuses packages with %s", async (library) => {
    await using directory = await temporaryDirectory();
    const debian = debianWith(...needed, `lib/x86_64-linux-gnu/${library}`);
    const made = hostLayerFromDebian(layer, await aContext(directory.path), { debian });
    await expect(made).rejects.toThrow(`${library} would hide the machine's own`);
  });

  it("is an error that names the file when the packages lack one", async () => {
    await using directory = await temporaryDirectory();
    const made = hostLayerFromDebian(layer, await aContext(directory.path), { debian: debianWith("usr/sbin/other") });
    await expect(made).rejects.toThrow("usr/sbin/iptables is in none of them");
  });
});

describe("a build from Go modules", () => {
  const go = { version: "1.2.3", directory: "module", multiCall: "all", variables: { "a/b.version": "v{version}" } };
  const program: Program = aProgram({ files: ["one", "two"], sources: ["go"], go });

  /** Answers as Go of that version would; "builds" an empty file. */
  function fakeGo(version: string, calls: Command[]): (command: Command) => Promise<string> {
    return async (command) => {
      calls.push(command);
      const settings = { GOVERSION: version, GOCACHE: "/tmp", GOMODCACHE: "/tmp" };
      if (command.args.includes("env")) return JSON.stringify(settings);
      const output = command.args[command.args.indexOf("-o") + 1];
      await writeFile(output ?? "", "");
      return "";
    };
  }

  async function aModule(directory: string): Promise<void> {
    await mkdir(join(directory, "module"));
    await writeFile(join(directory, "module", "go.mod"), "module m\n\ngo 1.26.0\n");
  }

  it("makes one binary and a link per program, with the toolchain that is there and the sums of go.sum", async () => {
    await using directory = await temporaryDirectory();
    await aModule(directory.path);
    const calls: Command[] = [];
    const options = { repository: directory.path, neededBytes: 1 };
    const context = await aContext(directory.path);
    await fromGo(program, context, options, { run: fakeGo("go1.26.8", calls) });
    expect(await readlink(join(context.tree, "bin", "one"))).toBe("all");
    expect(await readlink(join(context.tree, "bin", "two"))).toBe("all");
    expect(calls.at(-1)?.env).toEqual({
      GOTOOLCHAIN: "local",
      GOFLAGS: "-mod=readonly",
      GOWORK: "off",
      CGO_ENABLED: "0",
    });
    expect(buildArguments(go, "/out", ".")).toContain("-s -w -X a/b.version=v1.2.3");
  });

  it.each([
    ["an older Go", "go1.25.9", 1, "cannot build with go1.25.9: Go 1.26.0 or newer is needed"],
    ["too little disk", "go1.26.8", 2 ** 60, "GiB free, 1073741824.0 are needed"],
  ])("is not begun with %s", async (_what, version, neededBytes, message) => {
    await using directory = await temporaryDirectory();
    await aModule(directory.path);
    const calls: Command[] = [];
    const options = { repository: directory.path, neededBytes };
    const context = await aContext(directory.path);
    await expect(fromGo(program, context, options, { run: fakeGo(version, calls) })).rejects.toThrow(message);
    expect(calls).toHaveLength(1);
  });

  it.each([
    ["1.26.8", "1.26.0", true],
    ["1.27", "1.26.5", true],
    ["1.26", "1.26.0", true],
    ["1.9.9", "1.26.0", false],
    ["1.26.8-X:jsonv2", "1.26.8", true],
  ])("version %s is at least %s: %s", (have, wanted, expected) => {
    expect(atLeast(have, wanted)).toBe(expected);
  });
});

describe("a command", () => {
  it("that is not installed is named", async () => {
    const command = { program: "no-such-program", args: [], signal, deadlineMs: 1_000 };
    await expect(runCommand(command)).rejects.toThrow("cannot run no-such-program: it is not installed");
  });

  it("that fails says what it printed last", async () => {
    const command = {
      program: "sh",
      args: ["-c", "echo first; echo the reason >&2; exit 3"],
      signal,
      deadlineMs: 1_000,
    };
    await expect(runCommand(command)).rejects.toThrow(/exit 3: .*the reason/);
  });

  it("that takes too long is stopped", async () => {
    const command = { program: "sleep", args: ["20"], signal, deadlineMs: 200 };
    await expect(runCommand(command)).rejects.toThrow("cannot finish sleep 20 within 0.2 s");
  });

  it("stops when its caller gives up", async () => {
    const stop = AbortSignal.timeout(100);
    const command = { program: "sleep", args: ["20"], signal: stop, deadlineMs: 10_000, onLine: () => undefined };
    await expect(runCommand(command)).rejects.toThrow("aborted due to timeout");
  });
});
