import { decodeJoinToken } from "@k8sd/k8sd/cluster/tokens-encoding.ts";
import { hashOfSecret, idOfHash } from "@k8sd/k8sd/cluster/tokens-rules.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../expect-agreement.ts";
import { bootstrap, k8s } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Network } from "../hosts/network.ts";
import type { Host } from "../hosts/types.ts";
import { createNode, createNodeNetwork, waitForDaemon } from "../node.ts";
import { joins, joinToken } from "../scenarios/join/nodes.ts";
import { createDice } from "../sim/random.ts";
import { stagedForTests } from "../stage.ts";
import { type History, type Operation, type Sighting, violations } from "./history-check.ts";
import { listTokens, ownName, sight } from "./history-hosts.ts";
import { kill } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** 40 seconds in `npm test`; ten minutes with K8SD_HISTORY=full. */
const full = process.env.K8SD_HISTORY === "full";
const durationMs = full ? 600_000 : 40_000;
const seed = Number(process.env.K8SD_HISTORY_SEED ?? Date.now() % 100_000);
const guests = 5;
/** Fewer names than nodes, so that they meet. */
const names = ["a", "b", "c", "d"];
/** What a run must have seen to count. */
const least = full ? { joins: 60, removals: 40, faults: 80 } : { joins: 4, removals: 2, faults: 6 };

describe.skipIf(reason !== undefined)("joins and removals while processes are killed and hosts cut off", () => {
  let network: Network;
  let controlPlanes: readonly Host[] = [];
  let nodes: readonly Host[] = [];
  /** One of the nodes comes and goes as a control plane. */
  let voter: Host | undefined;
  const dice = createDice(seed);

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = () => createNode({ staged, network, flags: ["--agent-only"] });
    const [first, second, third, ...others] = await Promise.all(Array.from({ length: 3 + guests }, create));
    if (first === undefined || second === undefined || third === undefined) throw new Error("hosts are missing");
    controlPlanes = [first, second, third];
    nodes = others;
    voter = others[0];
    await bootstrap(first, "datastore-type: etcd\n");
    await joins(second, "c2", await joinToken(first, "c2"));
    await joins(third, "c3", await joinToken(first, "c3"));
  });
  afterAll(async () => {
    await Promise.all([...controlPlanes, ...nodes].map((host) => host[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  async function tellLogs(): Promise<void> {
    for (const host of [...controlPlanes, ...nodes]) {
      for (const unit of ["k8sd", ...(controlPlanes.includes(host) ? ["k8s-etcd"] : [])]) {
        console.log(`${host.address} ${unit}\n${(await host.journal(unit)).split("\n").slice(-40).join("\n")}`);
      }
    }
  }

  test(
    `for ${durationMs / 1000} s with seed ${seed}: no token is overused, no join is lost, no name is shared, nothing removed comes back`,
    async () => {
      const began = performance.now();
      const now = (): number => Math.round(performance.now() - began);
      const operations: Operation[] = [];
      const sightings: Sighting[] = [];
      const tokens: Record<string, number> = {};
      const issued: string[] = [];
      let faults = 0;
      const over = (): boolean => now() > durationMs;
      const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

      /** A new token, or one that was given out before: spent, held by another, or still good. */
      async function tokenFor(name: string, votes: boolean): Promise<string | undefined> {
        if (votes) return controlPlaneToken(name);
        if (issued.length > 0 && dice.chance(0.5)) return dice.pick(issued);
        const uses = dice.chance(0.5) ? 1 : 3;
        const flags = uses === 3 ? ["--uses", "3"] : dice.chance(0.5) ? [] : [name];
        const via = dice.pick(controlPlanes);
        const made = await k8s(via, ["get-join-token", "--worker", ...flags, "--timeout", "10s"], {
          timeoutMs: 30_000,
        });
        if (made.exitCode !== 0) return undefined;
        const token = made.stdout.trim();
        tokens[idOf(token)] = uses;
        issued.push(token);
        if (issued.length > 6) issued.shift();
        return token;
      }

      async function controlPlaneToken(name: string): Promise<string | undefined> {
        const made = await k8s(dice.pick(controlPlanes), ["get-join-token", name, "--timeout", "10s"], {
          timeoutMs: 30_000,
        });
        if (made.exitCode !== 0) return undefined;
        const token = made.stdout.trim();
        tokens[idOf(token)] = 1;
        return token;
      }

      async function record(
        operation: Pick<Operation, "kind" | "node" | "name"> & { token?: string },
        on: Host,
        argv: readonly string[],
      ): Promise<void> {
        const beganAt = now();
        const { exitCode, stderr } = await k8s(on, argv, { timeoutMs: 120_000 }).catch((error: unknown) => ({
          exitCode: -1,
          stderr: String(error),
        }));
        const outcome = exitCode === 0 ? "ok" : "unknown";
        operations.push({ ...operation, beganAt, endedAt: now(), outcome, said: stderr.trim().slice(-400) });
      }

      async function drive(host: Host): Promise<void> {
        const node = host.address;
        const votes = host === voter;
        while (!over()) {
          await pause(dice.between(0, 500));
          const name = await ownName(host);
          if (name === undefined) continue;
          if (name !== "") {
            if (dice.chance(0.3)) continue;
            const leaves = dice.chance(0.3);
            // By its address: by the time that it is done the name may be another's.
            const argv = leaves ? ["leave", "--timeout", "30s"] : ["remove-node", node, "--timeout", "30s"];
            await record({ kind: "remove", node, name }, leaves ? host : dice.pick(controlPlanes), argv);
            continue;
          }
          const wanted = votes ? "voter" : dice.pick(names);
          const token = await tokenFor(wanted, votes);
          if (token === undefined) continue;
          const argv = ["join-cluster", token, "--name", wanted, "--address", node, "--timeout", "30s"];
          await record({ kind: "join", node, name: wanted, token: idOf(token) }, host, argv);
        }
      }

      /** One control plane at a time, so that the others make a majority. */
      async function disturb(): Promise<void> {
        while (!over()) {
          await pause(dice.between(500, 4_000));
          faults += 1;
          const victim = dice.pick([...controlPlanes, ...nodes]);
          const isControlPlane = controlPlanes.includes(victim);
          if (dice.chance(0.4)) {
            await victim.partition(dice.pick(["both", "incoming", "outgoing"] as const));
            await pause(dice.between(500, 6_000));
            await victim.heal();
          } else {
            await kill(victim, isControlPlane && dice.chance(0.4) ? "k8s-etcd" : "k8sd");
          }
          // etcd chooses a leader again before the next one is disturbed.
          if (isControlPlane) await pause(2_000);
        }
      }

      async function watch(): Promise<void> {
        while (!over()) {
          const seen = await sight(controlPlanes, now);
          if (seen !== undefined) sightings.push(seen);
          await pause(300);
        }
      }

      await Promise.all([...nodes.map(drive), disturb(), watch()]);
      await network.heal();
      for (const host of [...controlPlanes, ...nodes]) await waitForDaemon(host);

      const history = async (): Promise<History> => {
        const [known] = controlPlanes;
        if (known === undefined) throw new Error("hosts are missing");
        const own = await Promise.all(nodes.map(async (host) => [host.address, await ownName(host)] as const));
        const counted = await listTokens(known);
        return {
          operations,
          sightings,
          tokens,
          end: {
            members: (await sight(controlPlanes, now))?.members ?? [],
            own: Object.fromEntries(own.flatMap(([address, name]) => (name ? [[address, name]] : []))),
            used: Object.fromEntries(counted.map(({ id, used }) => [id, used])),
          },
        };
      };
      const did = (kind: Operation["kind"]) =>
        operations.filter((each) => each.kind === kind && each.outcome === "ok").length;
      console.log(
        `${did("join")} of ${operations.filter(({ kind }) => kind === "join").length} joins, ${did("remove")} removals, ` +
          `${faults} faults, ${sightings.length} sightings, seed ${seed}`,
      );
      // What the last faults interrupted ends by itself: then all must be one.
      const stray = async (): Promise<readonly string[]> => {
        const { end } = await history().catch((error: unknown) => ({ end: error }));
        if (!isEnd(end)) return [String(end)];
        const inLedger = end.members.filter(({ address }) => nodes.some((host) => host.address === address));
        const ledger = inLedger.map(({ address, name, state }) => `${address} ${name} ${state}`);
        const own = Object.entries(end.own).map(([address, name]) => `${address} ${name} active`);
        return [...ledger.filter((line) => !own.includes(line)), ...own.filter((line) => !ledger.includes(line))];
      };
      const settled = await expect
        .poll(stray, { timeout: 120_000, interval: 2_000 })
        .toEqual([])
        .then(
          () => undefined,
          (error: unknown) => error,
        );
      if (settled !== undefined) await tellLogs();
      const found = violations(await history());
      if (found.length > 0 || settled !== undefined) console.log(JSON.stringify(await history(), undefined, 1));
      expect(found).toEqual([]);
      if (settled !== undefined) throw settled;
      const members = await Promise.all(nodes.map(async (host) => ((await ownName(host)) ? [host] : [])));
      await expectAgreement([...controlPlanes, ...members.flat()]);
      expect(did("join")).toBeGreaterThanOrEqual(least.joins);
      expect(did("remove")).toBeGreaterThanOrEqual(least.removals);
      expect(faults).toBeGreaterThanOrEqual(least.faults);
    },
    durationMs + 400_000,
  );
});

function isEnd(end: unknown): end is History["end"] {
  return !(end instanceof Error);
}

function idOf(token: string): string {
  return idOfHash(hashOfSecret(decodeJoinToken(token).secret));
}
