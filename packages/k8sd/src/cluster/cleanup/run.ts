import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { createPaths } from "../../host/paths.ts";
import { createRun } from "../../host/run.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import { type CleanupPart, cleanUp, cleanupParts } from "./cleanup.ts";
import { readMade } from "./made.ts";

/** What `k8s x-cleanup` becomes: it works where no daemon runs. @returns the exit code */
export async function runCleanup(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  try {
    const { part, timeoutMs, stateDir } = parse(argv);
    const { bin, nodeDb, snap } = createPaths({
      root: "/",
      snap: env.SNAP ?? "/snap/k8s/current",
      snapCommon: env.SNAP_COMMON ?? "/var/snap/k8s/common",
      state: stateDir,
    });
    const run = createRun({
      PATH: [bin, join(snap, "sbin"), env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin"].join(delimiter),
    });
    await cleanUp(part, await readMade(nodeDb), { run }, AbortSignal.timeout(timeoutMs));
    return 0;
  } catch (error) {
    const remedy = error instanceof AppError && error.remedy !== undefined ? ` ${error.remedy}` : "";
    process.stderr.write(`Error: ${errorText(error)}.${remedy}\n`);
    return 1;
  }
}

function parse(argv: readonly string[]): { part: CleanupPart; timeoutMs: number; stateDir: string | undefined } {
  const { positionals, values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { "timeout-ms": { type: "string", default: "300000" }, "state-dir": { type: "string" } },
  });
  const part = cleanupParts.find((each) => each === positionals[0]);
  if (part === undefined || positionals.length !== 1) {
    throw new AppError("invalid", `cannot clean up ${JSON.stringify(positionals.join(" "))}`, {
      remedy: `Give one of ${cleanupParts.join(", ")}.`,
    });
  }
  return { part, timeoutMs: Number(values["timeout-ms"]), stateDir: values["state-dir"] };
}
