import { describe, expect, test } from "vitest";
import { engineOf, onPort, secludedEngineOf, withEngine } from "../../../src/cluster/migrate/engines.ts";
import { planMigrate } from "../../../src/cluster/migrate/plan.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const ports = { source: 40_001, target: 40_002 };

function plan(kubernetes: boolean) {
  const before = aBootstrapInput({ kubernetes });
  return planMigrate({ nodeId: "", clusterId: "", before, after: withEngine(before, "etcd"), ports }, {}, "r1");
}

describe("a migration", () => {
  test("is final before anybody can write to the new engine, and after nobody can write to the old one", () => {
    const { steps, commit } = plan(true);
    const kinds = steps.map(({ kind }) => kind);
    expect(kinds[commit]).toBe("commit-engine");
    expect(kinds.indexOf("stop-engines")).toBeLessThan(commit);
    expect(kinds.indexOf("finish-copy")).toBeLessThan(kinds.indexOf("stop-engines"));
    expect(kinds.indexOf("start-engine")).toBeGreaterThan(commit);
    expect(kinds.indexOf("remove-source")).toBe(kinds.length - 1);
  });

  test("waits for kube-apiserver only where there is one", () => {
    const kinds = (kubernetes: boolean) => plan(kubernetes).steps.map(({ kind }) => kind);
    expect(kinds(true)).toContain("await-api-server");
    expect(kinds(false)).not.toContain("await-api-server");
  });

  test("there and back gives the same node", () => {
    const before = aBootstrapInput({ kubernetes: true });
    const there = withEngine(before, "etcd");
    expect(there.view.datastore).toMatchObject({ engine: "etcd", endpoints: before.view.datastore.endpoints });
    expect(there.config.datastore.type).toBe("etcd");
    expect(withEngine(there, "sqlite")).toEqual(before);
  });

  test("starts both engines where nobody but this node reaches them", () => {
    const before = aBootstrapInput({ kubernetes: false });
    for (const engine of ["sqlite", "etcd"] as const) {
      const view = onPort(withEngine(before, engine).view, ports.target);
      const { args } = secludedEngineOf(view).render(view).service;
      expect(args["--listen-client-urls"]).toBe("https://127.0.0.1:40002");
    }
  });

  test("ends with an engine at the address that the other one had", () => {
    const before = aBootstrapInput({ kubernetes: false });
    const { view } = withEngine(before, "etcd");
    const { args } = engineOf(view).render(view).service;
    expect(args["--listen-client-urls"]?.split(",")).toContain(before.view.datastore.endpoints[0]);
  });
});
