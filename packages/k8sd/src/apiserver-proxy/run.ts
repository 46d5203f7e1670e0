import { networkInterfaces } from "node:os";
import type { Logger } from "pino";
import { untilAborted } from "../lib/wait.ts";
import type { Endpoint } from "./endpoints-file.ts";
import { followEndpoints } from "./follow-endpoints.ts";
import type { ProxyOptions } from "./options.ts";
import { defaultSettings, startProxy } from "./proxy.ts";

/** Serves until the signal. */
export async function runProxy(options: ProxyOptions, log: Logger, signal: AbortSignal): Promise<void> {
  await using started = new AsyncDisposableStack();
  const proxy = await startProxy({ ...defaultSettings, listen: options.listen }, log);
  started.defer(() => proxy.stop());
  log.info({ port: proxy.port }, "Serving");
  const { endpointsFile: path, refreshMs } = options;
  const following = await followEndpoints({ path, refreshMs }, log, (endpoints) => {
    const others = withoutSelf(endpoints, proxy.port, log);
    if (others.length > 0) proxy.set(others);
  });
  started.defer(() => following.stop());
  await untilAborted(signal);
  log.info(proxy.stats(), "Stopping");
}

/** A proxy that dials itself would do so until its descriptors are used up. */
function withoutSelf(endpoints: readonly Endpoint[], port: number, log: Logger): readonly Endpoint[] {
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address)),
  );
  const others = endpoints.filter((endpoint) => endpoint.port !== port || !own.has(endpoint.host));
  if (others.length < endpoints.length) log.error({ port }, "The endpoints file names this proxy itself; left out");
  return others;
}
