import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Logger } from "pino";
import { errorText } from "../lib/app-error.ts";
import { type Endpoint, parseEndpoints } from "./endpoints-file.ts";

export interface FollowOptions {
  readonly path: string;
  /** Beside the kernel's word; 0: that alone. */
  readonly refreshMs: number;
}

/** One change of a file comes as several events. */
const settleMs = 20;

/** Tells the endpoints of the file now and whenever they change; a file that is of no use changes nothing. */
export async function followEndpoints(
  options: FollowOptions,
  log: Logger,
  changed: (endpoints: readonly Endpoint[]) => void,
): Promise<{ stop(): void }> {
  const { path, refreshMs } = options;
  let text: string | undefined;
  let trouble: string | undefined;
  let settling: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;
  let reading: Promise<void> | undefined;
  let again = false;
  let deaf = false;

  async function read(): Promise<void> {
    try {
      const now = await readFile(path, "utf8");
      if (now === text) return;
      const endpoints = parseEndpoints(now);
      text = now;
      trouble = undefined;
      log.info({ endpoints: endpoints.map((endpoint) => endpoint.text) }, "API servers");
      changed(endpoints);
    } catch (error) {
      const reason = errorText(error);
      if (reason === trouble) return;
      trouble = reason;
      log.error({ path, reason, known: text !== undefined }, "Cannot use the endpoints file; what was known stays");
    }
  }

  /** One read at a time; what changes during it is read after it. */
  async function refresh(): Promise<void> {
    again = true;
    reading ??= (async () => {
      while (again) {
        again = false;
        await read();
      }
      reading = undefined;
    })();
    await reading;
  }

  /** The directory, not the file: every new content is a new file under the old name. */
  function listen(): void {
    if (watcher !== undefined) return;
    try {
      const opened = watch(dirname(path), { persistent: false }, (_event, name) => {
        if (name !== null && name !== basename(path)) return;
        clearTimeout(settling);
        settling = setTimeout(() => void refresh(), settleMs);
      });
      opened.on("error", () => {
        opened.close();
        if (watcher === opened) watcher = undefined;
      });
      watcher = opened;
      deaf = false;
    } catch (error) {
      // Without a directory or without watches left; the next refresh tries again.
      if (deaf) return;
      deaf = true;
      log.warn({ path, reason: errorText(error), refreshMs }, "Cannot be told of changes of the endpoints file");
    }
  }

  listen();
  await refresh();
  const interval =
    refreshMs === 0
      ? undefined
      : setInterval(() => {
          listen();
          void refresh();
        }, refreshMs).unref();
  return {
    stop() {
      clearInterval(interval);
      clearTimeout(settling);
      watcher?.close();
    },
  };
}
