import { mkdir, mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { runDaemon } from "../../src/daemon.ts";
import { createPaths } from "../../src/host/paths.ts";

/** A daemon in this process, whose state and services are below a directory of its own. */
async function withDaemon(
  layer: string | undefined,
  asked: AbortSignal,
  check: (ended: Promise<void>) => Promise<void>,
): Promise<void> {
  await using directory = await mkdtempDisposable(join(tmpdir(), "k8sd-daemon-"));
  const root = directory.path;
  const options = { root, snap: join(root, "snap"), snapCommon: join(root, "common") };
  const { layers } = createPaths(options).supervisor;
  await mkdir(layers, { recursive: true });
  if (layer !== undefined) await writeFile(join(layers, "500-site.yaml"), layer);
  const daemon = {
    ...options,
    snapData: undefined,
    snapInstance: undefined,
    stateDir: undefined,
    serviceManager: "supervisor",
    kubernetes: false,
    logLevel: "silent",
    socketGroup: undefined,
    drainTimeoutMs: 100,
    faultDirectory: undefined,
  } as const;
  await check(runDaemon(daemon, pino({ level: "silent" }), asked));
}

const running = (): AbortSignal => new AbortController().signal;
const site = (onEnd: string) =>
  `services:\n  vital: {override: replace, command: sh -c 'exit 3', startup: enabled, ${onEnd}}\n`;

describe("k8sd", () => {
  test("ends also when it is asked to before it has started", async () => {
    await withDaemon(undefined, AbortSignal.abort(), async (ended) => {
      await expect(ended).resolves.toBeUndefined();
    });
  });

  test("fails when a service fails that a layer cannot do without", async () => {
    await withDaemon(site("on-failure: shutdown"), running(), async (ended) => {
      await expect(ended).rejects.toMatchObject({ kind: "unavailable", message: "cannot go on without vital" });
    });
  });

  test("ends well when a layer says that this end of a service is none to complain of", async () => {
    await withDaemon(site("on-failure: success-shutdown"), running(), async (ended) => {
      await expect(ended).resolves.toBeUndefined();
    });
  });
});
