import { join } from "node:path";
import { isLoopback } from "../../components/address.ts";
import { portNeeds } from "../../components/ports.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import type { Conflict, Host, PortNeed } from "../../host/host.ts";
import { errorText } from "../../lib/app-error.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { createLedger } from "../ledger.ts";
import { dataOf, engineOf, scratchOf } from "./engines.ts";
import type { ManagedEngine } from "./plan.ts";

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

/** All that speaks against a move of the data, not only the first. */
export async function problemsOf(
  before: BootstrapInput,
  after: BootstrapInput,
  deps: PreconditionDeps,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const { host } = deps;
  const { view } = after;
  const engine = view.datastore.engine as ManagedEngine;
  const found = await Promise.all([
    sourceProblems(before, deps, signal),
    engine === "sqlite" ? otherControlPlanes(deps, signal) : [],
    host.preflight.emptyDirectories([dataOf(host.paths, engine), scratchOf(host.paths)], signal),
    host.preflight.programs(programsOf(after, host), signal),
    host.preflight.ports(newPorts(after), signal),
  ]);
  return found.flat();
}

/** What the new engine listens on beside the address on loopback, which the old one has now. */
function newPorts({ view }: BootstrapInput): readonly PortNeed[] {
  const [address = view.loopback] = view.addresses;
  return portNeeds(view, [engineOf(view).name]).flatMap((need): PortNeed[] => {
    if (need.field === "etcd-peer-port") return [need];
    return need.address === undefined && !isLoopback(address) ? [{ ...need, address }] : [];
  });
}

function programsOf({ view }: BootstrapInput, { paths }: Host): readonly string[] {
  return [
    engineOf(view).render(view).service.program,
    ...(view.datastore.engine === "etcd" ? [join(paths.bin, "etcdctl")] : []),
  ];
}

/** The engine works, and there is room for its data a second time. */
async function sourceProblems(
  { view }: BootstrapInput,
  { host, datastore }: PreconditionDeps,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const { engine } = view.datastore;
  try {
    const store = await datastore();
    const call = { signal, timeoutMs: answerMs };
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
    const bytes = status.dbSize * growth + spareBytes;
    const room = await host.preflight.system({ freeDisk: [{ path: host.paths.snapCommon, bytes }] }, signal);
    return [...alarms, ...voters, ...room];
  } catch (error) {
    signal.throwIfAborted();
    return [{ message: `${engine} does not work: ${errorText(error)}`, remedy: "Look at 'k8s status' and its log." }];
  }
}

/** sqlite is a file of one node. Who is on the way in counts. */
export async function otherControlPlanes(
  { nodeId, datastore }: Pick<PreconditionDeps, "nodeId" | "datastore">,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const members = await createLedger(await datastore()).members(signal);
  return members
    .filter(({ id, role, state }) => id !== nodeId && role === "control-plane" && state !== "removed")
    .map(({ name }) => ({
      message: `${name} is a control plane too, and sqlite is for one`,
      remedy: "Remove the other control planes with 'k8s remove-node'.",
    }));
}
