import { runCli } from "./cli.ts";
import { hostDeps } from "./host-deps.ts";

void runCli(process.argv.slice(2), hostDeps).then((exitCode) => {
  process.exitCode = exitCode;
});
