/** k8s-apiserver-proxy: the way of a worker's programs to whichever control planes are alive. */
const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 24) {
  process.stderr.write(
    `cannot start k8s-apiserver-proxy: Node.js 24 or newer is needed, this is ${process.versions.node}\n`,
  );
  process.exit(1);
}

const { errorReport } = await import("../lib/app-error.ts");
const { createLogger } = await import("../log.ts");
const { parseProxyOptions } = await import("./options.ts");
const { runProxy } = await import("./run.ts");

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

try {
  const options = parseProxyOptions(process.argv.slice(2));
  await runProxy(options, createLogger(options.logLevel), stop.signal);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${errorReport(error)}\n`);
  process.exit(1);
}

export {};
