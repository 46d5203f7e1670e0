import { describe, expect, test } from "vitest";
import { destinationOf } from "../../../src/cluster/migrate/destination.ts";
import {
  engineOf,
  onPort,
  secludedEngineOf,
  targetOf,
  withEngine,
  withEtcdOf,
} from "../../../src/cluster/migrate/engines.ts";
import { planMigrate } from "../../../src/cluster/migrate/plan.ts";
import { trialOf } from "../../../src/cluster/migrate/trial.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const now = new Date("2026-11-21T12:00:00Z");
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
    expect(kinds.indexOf("try-engine")).toBe(commit - 1);
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

  test("tries each engine with the arguments that it will have, and lets in nobody who is let in then", () => {
    const before = aBootstrapInput({ kubernetes: false });
    for (const engine of ["sqlite", "etcd"] as const) {
      const { view } = withEngine(before, engine);
      const { args } = engineOf(view).render(view).service;
      const tried = trialOf(view, "/ca.crt", { certificate: "", key: "" }).render(view).service;
      expect(args["--trusted-ca-file"]).not.toBe("/ca.crt");
      const soon = engine === "etcd" ? { "--election-timeout": "100", "--heartbeat-interval": "10" } : {};
      expect(tried.args).toEqual({ ...args, ...soon, "--trusted-ca-file": "/ca.crt" });
    }
  });

  test("tries etcd with the times that somebody chose", () => {
    const { view } = withEngine(aBootstrapInput({ kubernetes: false }), "etcd");
    const chosen = { ...view, extraArgs: { etcd: { "--heartbeat-interval": "200" } } };
    // etcd refuses an election that is not five times as long as a heartbeat.
    for (const engine of [secludedEngineOf(chosen), trialOf(chosen, "/ca.crt", { certificate: "", key: "" })]) {
      const { args } = engine.render(chosen).service;
      expect(args).toMatchObject({ "--heartbeat-interval": "200" });
      expect(args).not.toHaveProperty("--election-timeout");
    }
  });

  test("ends with an engine at the address that the other one had", () => {
    const before = aBootstrapInput({ kubernetes: false });
    const { view } = withEngine(before, "etcd");
    const { args } = engineOf(view).render(view).service;
    expect(args["--listen-client-urls"]?.split(",")).toContain(before.view.datastore.endpoints[0]);
  });
});

describe("a migration to a database", () => {
  const url = "postgres://k8s:hidden-word@db.example/cluster?sslmode=verify-full";
  const server = "postgres://k8s@db.example/cluster?sslmode=verify-full";
  const before = aBootstrapInput({ kubernetes: true });
  const after = withEngine(before, "postgres", server);
  const input = { nodeId: "", clusterId: "", before, after, ports };

  test("there and back gives the same node, and the record names the database meanwhile", () => {
    expect(after.view.datastore).toMatchObject({ engine: "postgres", server });
    expect(after.config.datastore).toMatchObject({ type: "external", "external-servers": [server] });
    expect(withEngine(after, "sqlite")).toEqual(before);
  });

  test("runs the same program twice, under two names and at two addresses", () => {
    const names = [engineOf(before.view).name, targetOf(input).name];
    expect(names).toEqual(["k8s-datastore", "k8s-datastore-new"]);
    const { args } = targetOf(input, 7).render(onPort(after.view, ports.target)).service;
    expect(args).toMatchObject({ "--listen-client-urls": "https://127.0.0.1:40002", "--initial-revision": "7" });
    expect(targetOf({ ...input, before: withEngine(before, "etcd") }).name).toBe("k8s-datastore");
    expect(targetOf({ ...input, after: withEngine(before, "etcd") }).name).toBe("etcd");
  });

  test.each([
    [before, after],
    [after, before],
  ])("seals what opens the database before the engine serves", (from, to) => {
    const { steps, commit } = planMigrate({ ...input, before: from, after: to }, {}, "r1");
    const kinds = steps.map(({ kind }) => kind);
    expect(kinds.slice(commit, commit + 3)).toEqual(["commit-engine", "keep-access", "start-engine"]);
  });

  test("the password is in no plan", () => {
    expect(destinationOf({ to: "external", servers: [url] }, now)).toEqual({ engine: "postgres", server, url });
    expect(JSON.stringify(planMigrate(input, {}, "r1"))).not.toContain("hidden-word");
  });

  test.each([
    ["none", []],
    ["two", [url, url]],
    ["an etcd beside a database", ["https://192.0.2.1:2379", url]],
    ["one over a network without a word about TLS", [url.replace(/\?.*/, "")]],
  ])("%s is refused", (_what, servers) => {
    expect(() => destinationOf({ to: "external", servers }, now)).toThrow(/datastore/);
    expect(() => destinationOf({ to: "external", servers }, now)).not.toThrow("hidden-word");
  });

  test("servers are for an external datastore alone", () => {
    expect(() => destinationOf({ to: "etcd", servers: [url] }, now)).toThrow(
      "datastore-servers is for a datastore of somebody",
    );
  });
});

describe("a migration to an etcd of somebody else", () => {
  const servers = ["https://192.0.2.1:2379", "https://192.0.2.2:2379"];
  const access = { "datastore-ca-crt": "theirs", "datastore-client-crt": "crt", "datastore-client-key": "hidden-word" };
  const before = aBootstrapInput({ kubernetes: true });
  const after = withEtcdOf({ servers, access }, before);
  const kindsOf = (from: typeof before, to: typeof before) => {
    const { steps, commit } = planMigrate({ nodeId: "", clusterId: "", before: from, after: to, ports }, {}, "r1");
    return { kinds: steps.map(({ kind }) => kind), commit };
  };

  test("there and back gives the same node, at the address that its own engine had", () => {
    expect(after.view.datastore).toEqual({ engine: "external", endpoints: servers, ca: true, clientCertificate: true });
    expect(after.config.datastore).toMatchObject({ type: "external", "external-servers": servers });
    expect(withEngine(after, "sqlite")).toEqual(before);
    expect(withEngine(after, "etcd")).toEqual(withEngine(before, "etcd"));
    const database = withEngine(before, "postgres", "postgres://k8s@db.example/cluster");
    expect(withEngine(after, "postgres", "postgres://k8s@db.example/cluster")).toEqual(database);
    expect(withEtcdOf({ servers, access }, database)).toEqual(after);
  });

  test("lets kube-apiserver write to it only when nobody can write to the old one, and the data is kept there", () => {
    const { kinds, commit } = kindsOf(before, after);
    expect(kinds.slice(commit - 1)).toEqual([
      "stop-engines",
      "commit-engine",
      "keep-access",
      "switch-clients",
      "resume-member",
      "remove-source",
    ]);
  });

  test.each(["sqlite", "etcd", "postgres"] as const)("from it to %s starts an engine of this node first", (engine) => {
    const { kinds, commit } = kindsOf(after, withEngine(after, engine));
    expect(kinds.slice(commit - 1, commit + 4)).toEqual([
      "try-engine",
      "commit-engine",
      "keep-access",
      "start-engine",
      "switch-clients",
    ]);
  });

  test("its key is in no plan", () => {
    const input = { nodeId: "", clusterId: "", before, after, ports };
    expect(JSON.stringify(planMigrate(input, {}, "r1"))).not.toContain("hidden-word");
  });

  test("a certificate without its key, or one for another engine, is refused", () => {
    const half = { "datastore-client-crt": "crt" };
    expect(() => destinationOf({ to: "external", servers, pems: half }, now)).toThrow("both are needed");
    expect(() => destinationOf({ to: "sqlite", servers: [], pems: half }, now)).toThrow(
      "datastore-client-crt is for a datastore of somebody",
    );
  });
});
