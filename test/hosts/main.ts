import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { findHost, sweep } from "./host.ts";
import { initOf } from "./power.ts";
import { isAlive, isHostState, isStale, listStates } from "./record.ts";

const usage = `usage: node -C source test/hosts/main.ts COMMAND
  list                    the hosts of this machine
  enter NAME [COMMAND…]   a shell in a host, or one command
  stop NAME               remove a host
  clean                   remove what finished test runs left behind, and hosts kept after a failure
`;

async function main(): Promise<number> {
  // Options after the command belong to what runs in the host.
  const { positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    strict: false,
    tokens: false,
  });
  const [command, name] = positionals;
  const rest = process.argv.slice(4);
  if (command === "list") return list();
  if (command === "clean") return clean();
  if ((command !== "enter" && command !== "stop") || name === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  const host = await findHost(name);
  if (host === undefined) {
    process.stderr.write(`cannot ${command} ${name}: there is no such host; "list" shows those there are\n`);
    return 1;
  }
  if (command === "stop") {
    await host.destroy();
    return 0;
  }
  const child = spawn(host.enter, rest, { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

function list(): number {
  for (const { dir, record } of listStates().filter(isHostState)) {
    const power = initOf(dir) === undefined ? "off" : "on";
    const owner = record.persistent
      ? "persistent"
      : record.kept
        ? "kept"
        : isAlive(record.owner)
          ? `of process ${record.owner.pid}`
          : "stale";
    process.stdout.write(
      `${record.name.padEnd(20)} ${power.padEnd(4)} ${record.address.padEnd(16)} ${owner.padEnd(20)} ${dir}/enter\n`,
    );
  }
  return 0;
}

async function clean(): Promise<number> {
  const removed = await sweep((record) => isStale(record) || record.kept);
  for (const each of removed) process.stdout.write(`removed ${each}\n`);
  return 0;
}

process.exitCode = await main();
