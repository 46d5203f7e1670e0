import { describe, expect, test } from "vitest";
import type { KnownMember } from "../../../src/cluster/roster.ts";
import type { Host } from "../../../src/host/host.ts";
import { createRoutes, wantedRoutes } from "../../../src/reconcile/routes.ts";

function aMember(id: string, change: Partial<KnownMember> = {}): KnownMember {
  const number = id.slice(1);
  return {
    id,
    name: id,
    role: "worker",
    state: "active",
    addresses: [`10.0.0.${number}`, `fd00::${number}`],
    k8sdAddress: `10.0.0.${number}:6400`,
    publicKeyFingerprint: "",
    podCidrs: [`10.1.${number}.0/24`, `fd01::${number}00/120`],
    changedAt: 0,
    ...change,
  };
}

describe("routes to the pods of other nodes", () => {
  test("lead to each active member, by family, and not to oneself", () => {
    expect(wantedRoutes("n1", [aMember("n1"), aMember("n2"), aMember("n3", { state: "joining" })])).toEqual([
      { family: "-4", to: "10.1.2.0/24", via: "10.0.0.2" },
      { family: "-6", to: "fd01::200/120", via: "fd00::2" },
    ]);
  });

  test("a range without an address of its family has none", () => {
    expect(wantedRoutes("n1", [aMember("n2", { addresses: ["10.0.0.2"] })])).toEqual([
      { family: "-4", to: "10.1.2.0/24", via: "10.0.0.2" },
    ]);
  });

  test("those that are missing or wrong are set, those of nodes that are gone are taken away, others stay", async () => {
    const done: string[] = [];
    const shown =
      "10.1.2.0/24 via 10.0.0.2 dev eth0 \n10.1.3.0/24 via 10.0.0.9 dev eth0 \n10.1.9.0/24 via 10.0.0.8 dev eth0 \n";
    const run: Host["run"] = async ([, ...argv]) => {
      if (argv.includes("show")) return { exitCode: 0, stdout: shown, stderr: "" };
      done.push(argv.join(" "));
      return { exitCode: 0, stdout: "", stderr: "" };
    };
    const only4 = { addresses: [], podCidrs: [] };
    const members = [
      aMember("n1", only4),
      ...["n2", "n3", "n4"].map((id) => aMember(id, { podCidrs: [`10.1.${id.slice(1)}.0/24`] })),
    ];
    await createRoutes("n1", { run, members: () => members }).reconcile(AbortSignal.timeout(1_000));
    expect(done).toEqual([
      "-4 route replace 10.1.3.0/24 via 10.0.0.3 proto 107",
      "-4 route replace 10.1.4.0/24 via 10.0.0.4 proto 107",
      "-4 route del 10.1.9.0/24 proto 107",
    ]);
  });

  test("one that the host refuses keeps none of the others back, and is told of each time", async () => {
    const done: string[] = [];
    const run: Host["run"] = async ([, ...argv]) => {
      if (argv.includes("show")) return { exitCode: 0, stdout: "10.1.9.0/24 via 10.0.0.8 dev eth0 \n", stderr: "" };
      if (argv.includes("10.1.2.0/24")) throw new Error("Nexthop has invalid gateway.");
      done.push(argv.join(" "));
      return { exitCode: 0, stdout: "", stderr: "" };
    };
    const members = ["n1", "n2", "n3"].map((id) => aMember(id));
    const routes = createRoutes("n1", { run, members: () => members });
    await expect(routes.reconcile(AbortSignal.timeout(1_000))).rejects.toThrow(
      "cannot route to the Pods of other nodes: 10.1.2.0/24 via 10.0.0.2: Nexthop has invalid gateway.",
    );
    expect(done).toEqual([
      "-4 route replace 10.1.3.0/24 via 10.0.0.3 proto 107",
      "-4 route del 10.1.9.0/24 proto 107",
      "-6 route replace fd01::200/120 via fd00::2 proto 107",
      "-6 route replace fd01::300/120 via fd00::3 proto 107",
      "-6 route del 10.1.9.0/24 proto 107",
    ]);
  });

  test("before anybody is known nothing is touched", async () => {
    const run: Host["run"] = () => Promise.reject(new Error("touched"));
    await createRoutes("n1", { run, members: () => [] }).reconcile(AbortSignal.timeout(1_000));
  });
});
