/** k8s-datastore: the etcd v3 API over SQLite, in its own process. */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(`k8s-datastore needs Node 24.15 or newer; this is ${process.versions.node}\n`);
  process.exit(1);
}

const { pino } = await import("pino");
const { parseOptions } = await import("./options.ts");
const { runServer } = await import("./run.ts");
const { errorReport } = await import("../../lib/app-error.ts");

async function main(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2));
    const log = pino({ level: options.logLevel, base: null }, pino.destination({ dest: 1, sync: true }));
    const stop = new AbortController();
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
    if (options.untilStdinEnds)
      process.stdin
        .on("end", () => stop.abort())
        .resume()
        .unref();
    await runServer(options, log, stop);
    return 0;
  } catch (error) {
    process.stderr.write(`${errorReport(error)}\n`);
    return 1;
  }
}

process.exitCode = await main();
