import { parseArgs } from "node:util";
import { createPaths, snapDirectories } from "../../host/paths.ts";
import { createRun } from "../../host/run.ts";
import { searchPath } from "../../host/search-path.ts";
import { AppError, errorReport } from "../../lib/app-error.ts";
import { type CleanupPart, cleanUp, cleanupParts } from "./cleanup.ts";
import { readMade } from "./made.ts";

/** What `k8s x-cleanup` becomes: it works where no daemon runs. @returns the exit code */
export async function runCleanup(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  try {
    const { part, timeoutMs, stateDir } = parse(argv);
    const { nodeDb, snap } = createPaths({ root: "/", ...snapDirectories(env), state: stateDir });
    const run = createRun({ PATH: searchPath(snap, env.PATH) });
    await cleanUp(part, await readMade(nodeDb), { run }, AbortSignal.timeout(timeoutMs));
    return 0;
  } catch (error) {
    process.stderr.write(`Error: ${errorReport(error)}\n`);
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
