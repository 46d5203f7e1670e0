import { join } from "node:path";
import { emptyClusterConfig } from "../../../src/cluster/config/types.ts";
import { createLedger, type Ledger } from "../../../src/cluster/ledger.ts";
import { type Admission, type Claim, createAdmission } from "../../../src/cluster/ledger-admission.ts";
import { createSeal } from "../../../src/cluster/seal.ts";
import { createJoinTokens, type JoinTokens, type TokenOrder } from "../../../src/cluster/tokens.ts";
import { type Swept, sweepTokens } from "../../../src/cluster/tokens-sweep.ts";
import { createThrottle, defaultThrottle } from "../../../src/cluster/tokens-throttle.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import type { Datastore } from "../../../src/datastore/datastore.ts";
import { createExclusive } from "../../../src/lib/exclusive.ts";
import { type Audit, createAudit } from "../../../src/node-db/audit.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";
import { startEngine, temporaryFolder } from "../datastore/support/engine-process.ts";

export const signal = () => AbortSignal.timeout(20_000);
export const holdMs = 60_000;
export const root = { actor: "root", source: "unix" };
export const start = Date.parse("2026-08-21T10:00:00Z");

/** One control plane: what it remembers itself is its own, the datastore is everybody's. */
export interface ControlPlane {
  readonly datastore: Datastore;
  readonly ledger: Ledger;
  readonly tokens: JoinTokens;
  readonly admission: Admission;
  readonly audit: Audit;
  sweep(): Promise<Swept>;
}

export interface TestCluster extends AsyncDisposable {
  readonly controlPlane: (o?: { sealKey?: Uint8Array }) => ControlPlane;
  /** For all control planes. */
  pass(milliseconds: number): void;
  now(): number;
  /** Kills the datastore as a power cut does, and starts it on what is on the disk. */
  crash(): Promise<void>;
}

/** A founded cluster on the real engine. */
export async function createTestCluster(podCidr = "10.1.0.0/16"): Promise<TestCluster> {
  const cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder());
  const run = (port: string) =>
    startEngine(["--data-dir", join(folder.path, "data"), "--listen-client-urls", `http://127.0.0.1:${port}`]);
  let engine = await run("0");
  cleanup.defer(() => engine[Symbol.asyncDispose]());
  let now = start;
  const key = new Uint8Array(32).fill(7);

  const controlPlane = ({ sealKey = key }: { sealKey?: Uint8Array } = {}): ControlPlane => {
    const datastore = cleanup.use(createEtcdClient({ endpoints: [engine.endpoint] }));
    const db = openNodeDb(":memory:");
    cleanup.defer(() => void db.close());
    const clock = () => now;
    const audit = createAudit(db, clock);
    const throttle = createThrottle(defaultThrottle, clock);
    const tokens = createJoinTokens({ datastore, seal: createSeal(sealKey), audit, throttle, now: clock });
    const turns = createExclusive();
    return {
      datastore,
      ledger: createLedger(datastore),
      tokens,
      admission: createAdmission({ holdMs }, { datastore, tokens, turns, audit, now: clock }),
      audit,
      sweep: () => sweepTokens({ datastore, audit, now: clock }, signal()),
    };
  };

  const founder = {
    id: "founder",
    name: "n1",
    addresses: ["10.0.0.1"],
    k8sdAddress: "10.0.0.1:6400",
    role: "control-plane",
  } as const;
  const network = { "pod-cidr": podCidr, enabled: true };
  await controlPlane().ledger.found(
    {
      cluster: { id: "cluster", epoch: 1, createdAt: start },
      member: founder,
      config: { ...emptyClusterConfig(), network },
    },
    signal(),
  );
  return {
    controlPlane,
    now: () => now,
    pass: (milliseconds) => {
      now += milliseconds;
    },
    crash: async () => {
      const { port } = new URL(engine.endpoint);
      await engine.kill("SIGKILL");
      engine = await run(port);
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}

export function anOrder(change: Partial<TokenOrder> = {}): TokenOrder {
  return { role: "worker", name: "", ttlMs: 0, uses: 1, cidrs: [], ...change };
}

export function aClaim(secret: string, name: string, change: Partial<Claim> = {}): Claim {
  return {
    secret,
    nodeId: `id-of-${name}`,
    name,
    role: "worker",
    publicKeyFingerprint: `key-of-${name}`,
    addresses: ["10.0.0.9"],
    k8sdAddress: "10.0.0.9:6400",
    versions: { k8sd: "1" },
    source: "10.0.0.9",
    ...change,
  };
}
