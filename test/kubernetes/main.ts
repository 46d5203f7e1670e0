/** Gets every upstream program and prints where it is; arguments name optional ones that are wanted too. */
import { errorReport } from "@k8sd/k8sd/lib/app-error.ts";
import { ensureComponents } from "./ensure-components.ts";

const stop = new AbortController();
// `on`, not `once`: without a listener, the child processes' own clean-up would end this process before ours is done.
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
}

const started = performance.now();
const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;

try {
  const components = await ensureComponents({
    signal: stop.signal,
    also: process.argv.slice(2),
    report: (line) => process.stderr.write(`[${seconds().padStart(8)}] ${line}\n`),
  });
  process.stderr.write(`[${seconds().padStart(8)}] All components are at hand\n`);
  for (const { name, version, source, detail } of components.programs) {
    console.log(`${name.padEnd(12)} ${version.padEnd(24)} ${source.padEnd(8)} ${detail}`);
  }
  for (const image of components.images) console.log(`${"image".padEnd(12)} ${image.name.padEnd(33)} ${image.digest}`);
  console.log(components.root);
} catch (error) {
  process.stderr.write(`${errorReport(error)}\n`);
  process.exitCode = 1;
}
