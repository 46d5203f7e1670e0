import { isLoopback } from "../../components/address.ts";
import { portNeeds } from "../../components/ports.ts";
import { newDatabaseProblems } from "../../datastore/check-postgres.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { restoreProgram } from "../../datastore/etcd-restore.ts";
import { ifTold, revisionSeen } from "../../datastore/told.ts";
import type { Conflict, Host, PortNeed } from "../../host/host.ts";
import { errorText } from "../../lib/app-error.ts";
import { withDeadline } from "../../lib/wait.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { createLedger } from "../ledger.ts";
import type { Destination } from "./destination.ts";
import { dataOf, engineOf, scratchOf } from "./engines.ts";
import { etcdProblems } from "./etcd-problems.ts";
import { movesIn, movesOut } from "./plan.ts";

export interface PreconditionDeps {
  readonly host: Host;
  readonly nodeId: string;
  readonly datastore: () => Promise<Datastore>;
}

/** For logs, and for what is written meanwhile. */
const spareBytes = 256 * 1024 * 1024;
/** A new store may be less dense than one that was compacted over and over. */
const growth = 3;
const answerMs = 5_000;

export interface Move {
  readonly before: BootstrapInput;
  readonly after: BootstrapInput;
  /** Of the database that gets the data, with its password. */
  readonly url: string | undefined;
  /** Where it goes to one of somebody else. */
  readonly etcd?: Destination["etcd"];
}

/** All that speaks against a move of the data, not only the first. */
export async function problemsOf(
  { before, after, url, etcd }: Move,
  deps: PreconditionDeps,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const { host } = deps;
  const { engine } = after.view.datastore;
  const managed = engine === "sqlite" || engine === "etcd";
  const found = await Promise.all([
    sourceProblems(before, managed, deps, signal),
    loneProblems({ before, after }, deps, signal),
    managed ? host.preflight.emptyDirectories([dataOf(host.paths, engine), scratchOf(host.paths)], signal) : [],
    url === undefined ? [] : newDatabaseProblems(url, signal),
    etcd === undefined ? [] : toEtcdProblems(etcd, deps, signal),
    movesOut({ after }) ? [] : programsOf(after, host).then((programs) => host.preflight.programs(programs, signal)),
    movesOut({ after }) ? [] : host.preflight.ports(newPorts({ before, after }), signal),
  ]);
  return found.flat();
}

/** What the new engine listens on beside the address on loopback, which the old one has now. */
function newPorts({ before, after: { view } }: Pick<Move, "before" | "after">): readonly PortNeed[] {
  const [address = view.loopback] = view.addresses;
  const needs = portNeeds(view, [engineOf(view).name]);
  if (movesIn({ before })) return needs;
  return needs.flatMap((need): PortNeed[] => {
    if (need.field === "etcd-peer-port") return [need];
    return need.address === undefined && !isLoopback(address) ? [{ ...need, address }] : [];
  });
}

async function programsOf({ view }: BootstrapInput, { paths }: Host): Promise<readonly string[]> {
  return [
    engineOf(view).render(view).service.program,
    ...(view.datastore.engine === "etcd" ? [await restoreProgram(paths.bin)] : []),
  ];
}

/** What keeps its source from being asked is said of the source. */
async function toEtcdProblems(
  etcd: NonNullable<Destination["etcd"]>,
  { datastore }: PreconditionDeps,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const store = await datastore().catch(() => undefined);
  if (store === undefined) return [];
  return etcdProblems(etcd, store, signal);
}

/**
 * The engine works, and there is room for its data a second time.
 * @param local the copy lies on this machine
 */
async function sourceProblems(
  { view }: BootstrapInput,
  local: boolean,
  { host, datastore }: PreconditionDeps,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const { engine } = view.datastore;
  const roomFor = async (size: number): Promise<readonly Conflict[]> => {
    const freeDisk = local ? [{ path: host.paths.snapCommon, bytes: size * growth + spareBytes }] : [];
    return host.preflight.system({ freeDisk }, signal);
  };
  try {
    const store = await datastore();
    const call = { signal, timeoutMs: answerMs };
    if (engine === "external") {
      // Its members are theirs, and its size need not be told to us.
      await revisionSeen(store, withDeadline(signal, answerMs));
      const status = await ifTold(store.status(call));
      return await roomFor(status?.dbSize ?? 0);
    }
    const [status, members] = await Promise.all([store.status(call), store.memberList(call)]);
    const alarms = status.errors.map((alarm) => ({
      message: `${engine} has raised an alarm: ${alarm}`,
      remedy: "Remove its reason first.",
    }));
    const others = members.length > 1 ? members.length - 1 : 0;
    const voters =
      others === 0
        ? []
        : [{ message: `etcd has ${others} other members`, remedy: "Remove the other control planes first." }];
    return [...alarms, ...voters, ...(await roomFor(status.dbSize))];
  } catch (error) {
    signal.throwIfAborted();
    return [{ message: `${engine} does not work: ${errorText(error)}`, remedy: "Look at 'k8s status' and its log." }];
  }
}

/**
 * sqlite is a file of one node, and neither servers over a database nor what uses an etcd of somebody else can be stopped from
 * here. Who is on the way in counts.
 */
export async function loneProblems(
  { before, after }: Pick<Move, "before" | "after">,
  { nodeId, datastore }: Pick<PreconditionDeps, "nodeId" | "datastore">,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const engines = [before, after].map(({ view }) => view.datastore.engine);
  const whose = engines.includes("postgres") ? "a database" : "an external etcd";
  const why =
    after.view.datastore.engine === "sqlite" ? "sqlite is for one" : `data moves to or from ${whose} with one`;
  // On the way from sqlite to etcd nobody else can be there who matters: all of them are moved for.
  const theirs = engines.includes("postgres") || engines.includes("external");
  if (!theirs && after.view.datastore.engine !== "sqlite") return [];
  const members = await createLedger(await datastore()).members(signal);
  return members
    .filter(({ id, role, state }) => id !== nodeId && role === "control-plane" && state !== "removed")
    .map(({ name }) => ({
      message: `${name} is a control plane too, and ${why}`,
      remedy: "Remove the other control planes with 'k8s remove-node', and join them again afterwards.",
    }));
}
