import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { silentLog } from "../../../src/host/log.ts";
import { removeTuning, tuneSystem } from "../../../src/host/sysctl.ts";
import { createTestHost, type TestHost } from "../../support/fake-host.ts";

let host: TestHost;
beforeEach(async () => {
  host = await createTestHost();
});
afterEach(() => host[Symbol.asyncDispose]());

async function put(path: string, content: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content, { mode });
}
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777;

describe("kernel settings", () => {
  const tune = (begin: boolean) =>
    tuneSystem({ paths: host.paths, begin, procSys: join(host.root, "proc/sys") }, silentLog);
  const live = (name: string): string => join(host.root, "proc/sys/fs/inotify", name);

  beforeEach(async () => {
    await put(live("max_user_instances"), "128\n");
    await put(live("max_user_watches"), "2000000\n");
    await put(join(host.root, "etc/sysctl.d/99-sysctl.conf"), "fs.inotify.max_user_watches = 1048577\n");
    await put(join(host.root, "usr/lib/sysctl.d/99-sysctl.conf"), "fs.inotify.max_user_instances = 9999\n");
  });

  test("are raised now and for the next boot, never lowered", async () => {
    expect(await tune(true)).toBe("changed");
    expect(await readFile(live("max_user_instances"), "utf8")).toBe("1024");
    expect(await readFile(live("max_user_watches"), "utf8")).toBe("2000000\n");
    const own = join(host.root, "etc/sysctl.d/999-k8s.conf");
    expect((await readFile(own, "utf8")).split("\n").filter((line) => line !== "" && !line.startsWith("#"))).toEqual([
      "fs.inotify.max_user_instances=1024",
    ]);
    expect(await modeOf(own)).toBe(0o600);
    expect(await tune(false)).toBe("unchanged");
  });

  test("are left alone when the tuning file is gone", async () => {
    await tune(true);
    await removeTuning(host.paths);
    await writeFile(live("max_user_instances"), "128");
    expect(await tune(false)).toBe("off");
    expect(await readFile(live("max_user_instances"), "utf8")).toBe("128");
    expect(await readdir(join(host.root, "etc/sysctl.d"))).toEqual(["99-sysctl.conf"]);
  });

  test("that the kernel does not have are no failure", async () => {
    await rm(join(host.root, "proc"), { recursive: true });
    expect(await tune(true)).toBe("changed");
  });
});
