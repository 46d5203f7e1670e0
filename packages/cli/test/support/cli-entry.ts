// The CLI as a process of its own, with the two things of the machine that a test cannot have: root, and a host's files.
import { runCli } from "../../src/cli.ts";
import { hostDeps } from "../../src/host-deps.ts";

const { TEST_UID = "0", TEST_ROOT = "/nonexistent", TEST_HOSTNAME = "Node-A" } = process.env;

void runCli(process.argv.slice(2), {
  ...hostDeps,
  root: TEST_ROOT,
  uid: () => Number(TEST_UID),
  hostname: () => TEST_HOSTNAME,
}).then((exitCode) => {
  process.exitCode = exitCode;
});
