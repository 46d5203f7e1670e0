import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLoad, type Load, type Rate } from "./datastore-load.ts";
import { datastorePrograms } from "./datastore-programs.ts";
import { type System, type SystemName, startOverPostgres, startSystem } from "./datastore-systems.ts";
import { type Figure, figure, type Goal, median } from "./result.ts";

const repository = join(import.meta.dirname, "..", "..");
/** Systems take turns this often, so that a neighbour's noise meets all of them. */
const rounds = 3;
const concurrencies = [1, 16, 256] as const;
const keys = 100_000;

const atLeastEtcd = { is: "at least", value: 0.8 } as const;
const atLeastKine = { is: "at least", value: 3 } as const;
const lowerThanKine = { is: "at most", value: 1 } as const;
const memoryGoal = { is: "at most", value: 120 } as const;

type Rates = Readonly<Record<SystemName, readonly Rate[]>>;

/**
 * The embedded engine and the server over PostgreSQL beside etcd 3.6 and kine on SQLite: same machine, same run, same native
 * clients. All wait for the disk with each commit before they answer.
 */
export async function benchDatastore(): Promise<readonly Figure[]> {
  const programs = await datastorePrograms((line) => console.error(line));
  const folder = await mkdtemp(join(tmpdir(), "k8sd-bench-"));
  try {
    await layOut(folder);
    await using etcd = await startSystem("etcd", programs, folder);
    await using ours = await startSystem("ours", programs, folder);
    await using kine = await startSystem("kine", programs, folder);
    await using postgres = await startOverPostgres(programs, folder);
    const all = [etcd, ours, kine];
    const load = createLoad(programs);
    return [
      ...(await byEtcdsTool(load, etcd, ours, postgres)),
      ...(await asKubernetes(load, all)),
      ...(await full(load, etcd, ours, kine)),
      figure("memory of the server over PostgreSQL", (await postgres.memory()).now, "MiB"),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Where the wrapper looks: bin/node and lib/k8s-datastore.js. */
async function layOut(folder: string): Promise<void> {
  for (const directory of ["snap/bin", "snap/lib"]) await mkdir(join(folder, directory), { recursive: true });
  await symlink(process.execPath, join(folder, "snap/bin/node"));
  const program = join(repository, "packages/k8sd/dist/k8s-datastore/k8s-datastore.js");
  await symlink(program, join(folder, "snap/lib/k8s-datastore.js"));
}

async function byEtcdsTool(load: Load, etcd: System, ours: System, postgres: System): Promise<Figure[]> {
  const kinds = [
    { name: "put", run: load.put },
    { name: "get", run: load.get },
    { name: "range of 500", run: load.list },
  ];
  const figures: Figure[] = [];
  for (const { name, run } of kinds) {
    for (const clients of concurrencies) {
      const rates = await takeTurns([etcd, ours, postgres], (system) => run(system, clients));
      figures.push(...besideEtcd(`${name}, ${clients} clients`, rates));
      // The database and its disk are its owner's: beside etcd, but without a goal.
      figures.push(
        ...compared(`PostgreSQL: ${name}, ${clients} clients`, rates.postgres, rates.etcd, "etcd", undefined),
      );
    }
  }
  return figures;
}

async function asKubernetes(load: Load, all: readonly System[]): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const clients of concurrencies) {
    const rates = await takeTurns(all, (system) => load.create(system, clients), 2);
    figures.push(
      ...besideEtcd(`create, ${clients} clients`, rates),
      ...besideKine(`create, ${clients} clients`, rates),
    );
  }
  const mixed = await takeTurns(all, load.mix, 2);
  figures.push(...besideEtcd("mix of kube-apiserver, 16 clients", mixed));
  figures.push(...besideKine("mix of kube-apiserver, 16 clients", mixed, false));
  const watched = await takeTurns(all, load.watch, 1);
  figures.push(...besideEtcd("events to 1,000 watchers", watched, false));
  return figures;
}

/** What 100,000 keys cost, under a flood of 256 clients and after it. */
async function full(load: Load, etcd: System, ours: System, kine: System): Promise<Figure[]> {
  await load.fill(etcd, keys);
  await load.fill(ours, keys);
  const [reference, own, other] = await Promise.all([etcd.memory(), ours.memory(), kine.memory()]);
  const [referenceDisk, ownDisk] = await Promise.all([etcd.disk(), ours.disk()]);
  const [referenceCompact, ownCompact] = [await load.compact(etcd), await load.compact(ours)];
  return [
    figure("memory with 100,000 keys", own.now, "MiB", { reference: reference.now, goal: memoryGoal }),
    figure("memory, most under flood", own.most, "MiB", { reference: reference.most, goal: memoryGoal }),
    figure("memory of kine, without those keys", other.now, "MiB"),
    figure("size on disk, MiB", ownDisk, "MiB", { reference: referenceDisk }),
    figure("compaction of all revisions", ownCompact, "ms", { reference: referenceCompact }),
  ];
}

async function takeTurns(
  all: readonly System[],
  run: (system: System) => Promise<Rate>,
  times = rounds,
): Promise<Rates> {
  const rates: Record<SystemName, Rate[]> = { etcd: [], ours: [], kine: [], postgres: [] };
  for (let round = 0; round < times; round++) {
    for (const system of all) rates[system.name].push(await run(system));
  }
  return rates;
}

const middle = (rates: readonly Rate[], field: keyof Rate): number => median(rates.map((rate) => rate[field]));

function besideEtcd(name: string, { etcd, ours }: Rates, withGoal = true): Figure[] {
  return compared(name, ours, etcd, "etcd", withGoal ? atLeastEtcd : undefined);
}

function besideKine(name: string, { kine, ours }: Rates, withGoal = true): Figure[] {
  return compared(name, ours, kine, "kine", withGoal ? atLeastKine : undefined, withGoal ? lowerThanKine : undefined);
}

/** Goals are about the ratio, so it stands as a figure of its own. */
function compared(
  name: string,
  ours: readonly Rate[],
  theirs: readonly Rate[],
  of: string,
  rateGoal: Goal | undefined,
  p99Goal?: Goal,
): Figure[] {
  const rate = middle(ours, "perSecond");
  const p99 = middle(ours, "p99");
  const ratio = rate / middle(theirs, "perSecond");
  const p99Ratio = p99 / middle(theirs, "p99");
  return [
    figure(name, rate, "1/s", { reference: middle(theirs, "perSecond") }),
    figure(`${name}: p50`, middle(ours, "p50"), "ms", { reference: middle(theirs, "p50") }),
    figure(`${name}: p99`, p99, "ms", { reference: middle(theirs, "p99") }),
    figure(`${name}: of ${of}`, ratio, "", rateGoal ? { goal: rateGoal } : {}),
    ...(p99Goal ? [figure(`${name}: p99 of ${of}`, p99Ratio, "", { goal: p99Goal })] : []),
  ];
}
