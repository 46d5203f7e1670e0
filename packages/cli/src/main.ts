import { runCli } from "./cli.ts";
import { hostDeps } from "./host-deps.ts";

process.exitCode = await runCli(process.argv.slice(2), hostDeps);
