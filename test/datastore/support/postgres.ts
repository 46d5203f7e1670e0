import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { chown, cp, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { ensureComponents } from "../../kubernetes/ensure-components.ts";
import { temporaryFolder } from "./servers.ts";

/** PostgreSQL does not run as root; tests that do give it to this one. */
const nobody = 65_534;
const owner = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
const user = "k8s";
/** Has to give a password, once somebody made it. */
export const limitedUser = "limited";

export interface Postgres extends AsyncDisposable {
  /** Holds its data and its socket. */
  readonly folder: string;
  /** An empty database of its own; gives its URL. */
  database(): Promise<string>;
  /** Runs a statement as the superuser; gives the rows. */
  run(url: string, sql: string): Promise<unknown[]>;
  /** As a power-off would, and starts it again. */
  crash(whileDown?: () => Promise<void>): Promise<void>;
  /** As its own control program does: sessions are ended, and what is under way is taken back. */
  restart(whileDown?: () => Promise<void>): Promise<void>;
}

const startMs = 60_000;

/**
 * A server of Debian's package on a unix socket in a folder of its own.
 * @param parent of that folder; absent: in memory, where there is such a place
 */
export async function startPostgres(parent?: string): Promise<Postgres> {
  const { bin } = await ensureComponents({ also: ["postgresql"], report: (line) => console.error(line) });
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  // What a killed process wrote stays, in memory too: disks that lose writes are PostgreSQL's affair.
  const memory = stack.use(await temporaryFolder(parent ?? (existsSync("/dev/shm") ? "/dev/shm" : undefined)));
  const home = memory.path;
  if (owner.uid !== undefined) {
    for (const path of [folder.path, home]) await chown(path, owner.uid, owner.gid);
  }
  // The cache may lie where only root can look.
  const usr = join(owner.uid === undefined ? bin : folder.path, "postgresql", "usr");
  if (owner.uid !== undefined)
    await cp(join(bin, "postgresql", "usr"), usr, { recursive: true, verbatimSymlinks: true });
  const programs = join(usr, "lib", "postgresql", "15", "bin");
  const libraries = await libraryFolder(join(usr, "lib"));
  const options = { ...owner, cwd: home, env: { LD_LIBRARY_PATH: libraries, LC_ALL: "C", TZ: "UTC" } };
  const data = join(home, "data");
  const initial = ["--pgdata", data, "--username", user, "--auth", "trust", "--no-sync", "--encoding", "UTF8"];
  await promisify(execFile)(join(programs, "initdb"), initial, options);
  // Small, because several may run at once; durability is as PostgreSQL comes.
  await writeFile(
    join(data, "postgresql.auto.conf"),
    `listen_addresses = ''\nunix_socket_directories = '${home}'\nshared_buffers = 32MB\nmax_connections = 60\n`,
  );

  await writeFile(join(data, "pg_hba.conf"), `local all ${limitedUser} scram-sha-256\nlocal all all trust\n`);

  let child: ChildProcess | undefined;
  let output = "";
  const url = (database: string) => `postgres://${user}@localhost/${database}?host=${encodeURIComponent(home)}`;
  const isOver = () => child === undefined || child.exitCode !== null || child.signalCode !== null;
  const exited = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child;
    if (running === undefined || isOver()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    running.once("exit", () => resolve());
    running.kill(signal);
    await promise;
  };
  function launch(): void {
    const started = spawn(join(programs, "postgres"), ["-D", data], { ...options, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [started.stdout, started.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-20_000);
      });
    }
    child = started;
  }
  async function start(): Promise<void> {
    const serves = async () => {
      // After a kill it ends at once while a process of the one before still has its memory.
      if (isOver()) launch();
      await run(url("postgres"), "SELECT 1");
    };
    for (const end = performance.now() + startMs; ; await delay(100)) {
      try {
        await serves();
        return;
      } catch (error) {
        if (performance.now() > end) throw new Error(`PostgreSQL does not serve: ${output}`, { cause: error });
      }
    }
  }
  async function again(signal: NodeJS.Signals, whileDown = async () => {}): Promise<void> {
    await exited(signal);
    await whileDown();
    await start();
  }
  async function run(database: string, sql: string): Promise<unknown[]> {
    const client = new pg.Client({ connectionString: database });
    try {
      await client.connect();
      return (await client.query(sql)).rows;
    } finally {
      await client.end().catch(() => {});
    }
  }
  stack.defer(() => exited("SIGQUIT"));
  await start();
  const owned = stack.move();

  return {
    folder: home,
    run,
    async database() {
      const name = `test_${randomUUID().replaceAll("-", "")}`;
      await run(url("postgres"), `CREATE DATABASE ${name}`);
      return url(name);
    },
    crash: (whileDown) => again("SIGKILL", whileDown),
    restart: (whileDown) => again("SIGINT", whileDown),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The arguments of a server over a database. */
export async function databaseArgs(folder: string, url: string): Promise<readonly string[]> {
  const file = join(folder, "database-url");
  await writeFile(file, `${url}\n`, { mode: 0o600 });
  return ["--database-url-file", file];
}

/** The packages' libraries lie in a folder named after the processor. */
async function libraryFolder(lib: string): Promise<string> {
  const triplet = (await readdir(lib)).find((name) => name.endsWith("-linux-gnu"));
  return triplet === undefined ? lib : join(lib, triplet);
}
