import { chmod, readFile, rm } from "node:fs/promises";
import type { Logger } from "pino";
import { untilAborted } from "../../lib/wait.ts";
import type { Backend } from "./backend.ts";
import { createEngine } from "./engine.ts";
import { createGrpcServer, type TlsFiles } from "./grpc-server.ts";
import { maxRequestBytes } from "./kv-service.ts";
import type { ListenAddress, ServerOptions } from "./options.ts";
import { type BackendDeps, createSqliteBackend } from "./sqlite-backend.ts";

/** gRPC's limit lies above the request's own, so that a request slightly too large gets etcd's own words. */
const maxMessageBytes = maxRequestBytes + 512 * 1024;

/** Serves until the signal; then connections are drained, queued writes committed and the file closed. */
export async function runServer(options: ServerOptions, log: Logger, stop: AbortController): Promise<void> {
  await using started = new AsyncDisposableStack();
  const urls: string[] = [];
  const clientUrls = () => (options.advertise.length > 0 ? options.advertise : urls);
  let failure: unknown;
  const broken = (error: unknown) => {
    failure = error;
    stop.abort();
  };
  const backend = await openBackend(options, { log: log.child({ module: "engine" }), broken });
  const engine = createEngine(options, { backend, clientUrls });
  started.defer(() => engine.stop());

  const { keyLimits } = options;
  const server = createGrpcServer(
    { methods: engine.methods, keyLimits, maxMessageBytes },
    log.child({ module: "server" }),
  );
  started.defer(() => server.stop());
  const tls = await readTls(options);
  for (const address of options.listen) {
    urls.push(await listen(server, address, tls));
  }
  log.info({ urls }, "Serving");
  await untilAborted(stop.signal);
  log.info("Stopping");
  await started.disposeAsync();
  if (failure !== undefined) throw failure;
}

/** Each store's code is loaded where it is used. */
async function openBackend(options: ServerOptions, deps: BackendDeps): Promise<Backend> {
  const { databaseUrlFile } = options;
  if (databaseUrlFile === undefined) return createSqliteBackend(options, deps);
  const url = (await readFile(databaseUrlFile, "utf8")).trim();
  const { createPostgresBackend } = await import("./postgres-backend.ts");
  return createPostgresBackend({ ...options, url }, deps);
}

async function listen(
  server: ReturnType<typeof createGrpcServer>,
  address: ListenAddress,
  tls: TlsFiles | undefined,
): Promise<string> {
  if ("path" in address.where) {
    // A socket that a killed process left; a living one holds the store's lock, so we would not be here.
    await rm(address.where.path, { force: true });
    await server.listen(address.where, undefined);
    await chmod(address.where.path, 0o600);
    return address.url;
  }
  const { port } = await server.listen(address.where, address.tls ? tls : undefined);
  const url = new URL(address.url);
  url.port = String(port);
  return url.origin;
}

async function readTls(options: ServerOptions): Promise<TlsFiles | undefined> {
  if (!options.certFile || !options.keyFile) return undefined;
  const [cert, key, ca] = await Promise.all([
    readFile(options.certFile),
    readFile(options.keyFile),
    options.caFile ? readFile(options.caFile) : undefined,
  ]);
  return { cert, key, ca, requireClientCertificate: options.clientCertAuth };
}
