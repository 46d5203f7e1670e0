// biome-ignore-all lint/suspicious/noTemplateCurlyInString: argument files hold such references.
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { parseArgs, updateArgs } from "../../../src/host/args-file.ts";

const runService = fileURLToPath(new URL("../../../../../snap/bin/run-service", import.meta.url));

/** Prints what it was given, so that nothing between the file and the program goes unseen. */
const echo = `#!${process.execPath}
process.stdout.write(JSON.stringify({ args: process.argv.slice(2), env: process.env, pid: process.pid }));
`;

let base: string;
let snap: string;
let common: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "k8sd run-service-"));
  snap = join(base, "snap");
  common = join(base, "common");
  await mkdir(join(snap, "bin"), { recursive: true });
  await mkdir(join(common, "args"), { recursive: true });
  await writeFile(join(snap, "bin/svc"), echo, { mode: 0o755 });
});
afterEach(() => rm(base, { recursive: true, force: true }));

async function run(args: string, files: Record<string, string> = {}, env: Record<string, string> = {}) {
  await writeFile(join(common, "args/svc"), args);
  for (const [name, content] of Object.entries(files)) await writeFile(join(common, "args", name), content);
  const result = await execa(runService, ["svc"], { cwd: base, env: { SNAP: snap, SNAP_COMMON: common, ...env } });
  return JSON.parse(result.stdout) as { args: string[]; env: Record<string, string> };
}

describe("run-service", () => {
  test("gives every value as it stands in the file; no shell reads it", async () => {
    const values = {
      "--spaces": "a  b   c ",
      "--quotes": `it's "so" said`,
      "--command": "$(touch created-by-value)",
      "--backticks": "`touch created-by-value`",
      "--glob": "*",
      "--json": `{"a":["b","$HOME"]}`,
      "--backslash": "\\n\\",
      "--semicolon": "; touch created-by-value; #",
      "--empty": "",
      "--equals": "memory.available<100Mi,a=b",
      "--redirect": "> created-by-value",
    };
    const { text } = updateArgs("", { set: values, remove: [] });
    const given = await run(text);
    expect(given.args.toSorted()).toEqual(
      Object.entries(values)
        .map(([flag, value]) => `${flag}=${value}`)
        .toSorted(),
    );
    expect(await readdir(base)).toEqual(["common", "snap"]);
  });

  test("reads lines as k8sd does, whatever wrote them", async () => {
    const text = ['--v="2"', "--b 3", "  --c  x y  ", "# comment", "", '--d=""e""', "--bool", "--f="].join("\n");
    const given = await run(text);
    expect(given.args).toEqual(
      [...parseArgs(text)].map(([flag, value]) => (value === undefined ? flag : `${flag}=${value}`)),
    );
    expect(given.args).toEqual(["--v=2", "--b=3", "--c=x y", "--d=e", "--bool", "--f="]);
  });

  test("replaces the three directories in both forms, once, and no other variable", async () => {
    const text = [
      "--a=${SNAP_COMMON}/x:$SNAP_COMMON/y",
      "--b=${SNAP}/x:$SNAP/y:$SNAP",
      "--c=${SNAP_DATA}/x:$SNAP_DATA",
      "--d=$SNAPPY:$SNAP_COMMONS:${SNAP_OTHER}:$HOME:${HOME}:$:$$",
    ].join("\n");
    const data = "/data $SNAP";
    const given = await run(text, {}, { SNAP_DATA: data });
    expect(given.args).toEqual([
      `--a=${common}/x:${common}/y`,
      `--b=${snap}/x:${snap}/y:${snap}`,
      `--c=${data}/x:${data}`,
      "--d=$SNAPPY:$SNAP_COMMONS:${SNAP_OTHER}:$HOME:${HOME}:$:$$",
    ]);
  });

  test("sets the environment from both files, the service's own last, without a shell", async () => {
    const given = await run("", {
      "snap-env": "# all services\nA=1\nB=$(touch created-by-value)\n",
      "svc-env": "A=two words\nC=it's\n",
    });
    expect(given.env).toMatchObject({
      A: "two words",
      B: "$(touch created-by-value)",
      C: "it's",
      GOTRACEBACK: "crash",
    });
    expect(await readdir(base)).toEqual(["common", "snap"]);
  });

  test("puts the programs of the snap tree first", async () => {
    await mkdir(join(snap, "usr/lib"), { recursive: true });
    const given = await run("", {}, { REAL_PATH: "/real" });
    expect(given.env.PATH).toBe(`${snap}/usr/bin:${snap}/bin:${snap}/usr/sbin:${snap}/sbin:/real`);
    expect(given.env.LD_LIBRARY_PATH).toBe(`${snap}/usr/lib`);
  });

  test("becomes the program: the same process", async () => {
    const child = execa(runService, ["svc"], { env: { SNAP: snap, SNAP_COMMON: common } });
    expect(JSON.parse((await child).stdout).pid).toBe(child.pid);
  });

  test.each([
    ["missing program", { rename: true }, "missing or not executable"],
    ["line that is no variable", { env: "A B=c" }, "no valid name"],
  ])("ends with a reason: %s", async (_name, options: { rename?: boolean; env?: string }, reason) => {
    if (options.rename) await rm(join(snap, "bin/svc"));
    if (options.env !== undefined) await writeFile(join(common, "args/svc-env"), options.env);
    const result = await execa(runService, ["svc"], { env: { SNAP: snap, SNAP_COMMON: common }, reject: false });
    expect(result).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(reason) });
  });
});
