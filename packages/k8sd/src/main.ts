/** Entry of the daemon. Looks at Node's version before anything else loads: an old one would crash without a word. */
const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 24) {
  process.stderr.write(`cannot start k8sd: Node.js 24 or newer is needed, this is ${process.versions.node}\n`);
  process.exit(1);
}

const { snapshotWorker } = await import("./cluster/snapshot/worker-argv.ts");
if (process.argv[2] === snapshotWorker) {
  const { runWorker } = await import("./cluster/snapshot/worker.ts");
  process.exit(await runWorker());
}

if (process.argv[2] === "x-cleanup") {
  const { runCleanup } = await import("./cluster/cleanup/run.ts");
  process.exit(await runCleanup(process.argv.slice(3), process.env));
}

const { parseDaemonOptions } = await import("./options.ts");
const { createLogger } = await import("./log.ts");
const { runDaemon } = await import("./daemon.ts");
const { errorReport } = await import("./lib/app-error.ts");

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

try {
  const options = parseDaemonOptions(process.argv.slice(2), process.env);
  await runDaemon(options, createLogger(options.logLevel), stop.signal);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${errorReport(error)}\n`);
  process.exit(1);
}
