import { expect, test } from "vitest";
import { planBootstrap } from "../../../src/cluster/bootstrap/plan.ts";
import { planJoin } from "../../../src/cluster/join/plan.ts";
import { completeNodePki } from "../../../src/cluster/node-pki.ts";
import { wantedComponents } from "../../../src/components/wanted.ts";
import { aPreparation } from "../../support/bootstrap-input.ts";

const url = "postgres://k8s:hidden-word@db.example/cluster?sslmode=verify-full";
const prepare = (more: object = {}) =>
  aPreparation({
    kubernetes: true,
    config: { "datastore-type": "external", "datastore-servers": [url], ...more },
  });
const { input, secret } = prepare();
const file = "/var/snap/k8s/common/var/lib/k8sd/state/datastore-url";

test("a node whose datastore is a PostgreSQL database runs the server of the etcd API over it", () => {
  expect(input.view.datastore).toEqual({
    engine: "postgres",
    endpoints: ["https://127.0.0.1:2379"],
    clientPort: 2379,
    server: "postgres://k8s@db.example/cluster?sslmode=verify-full",
  });
  const rendered = wantedComponents(input.view).map((component) => component.render(input.view).service);
  expect(rendered.find(({ name }) => name === "k8s-datastore")?.args["--database-url-file"]).toBe(file);
  expect(rendered.find(({ name }) => name === "kube-apiserver")?.args["--etcd-servers"]).toBe("https://127.0.0.1:2379");
});

test("the password is in a file that root alone reads and among the sealed secrets, nowhere else", () => {
  expect(JSON.stringify(planBootstrap(input, "r"))).not.toContain("hidden-word");
  const { files, cluster } = completeNodePki(input, secret, new Date());
  expect(files.filter(({ content }) => String(content).includes("hidden-word"))).toEqual([
    { path: file, content: url, mode: 0o600 },
  ]);
  expect(cluster["datastore-url"]).toBe(url);
});

test("another control plane starts its server like any other service: there is nothing to join", () => {
  const via = { fingerprint: "", addresses: [], apiServers: [] };
  const { steps } = planJoin({ ...input, via, skewMs: 0 }, "r");
  expect(steps.map(({ kind }) => kind)).not.toContain("join-datastore");
  expect(steps.find(({ kind }) => kind === "start-services")).toMatchObject({ args: { services: ["k8s-datastore"] } });
});

test.each([
  ["with other servers", { "datastore-servers": [url, "https://192.0.2.1:2379"] }, "beside other servers"],
  ["with an authority for etcd", { "datastore-ca-crt": "x" }, "datastore-ca-crt is for etcd"],
  ["over a network without a word about TLS", { "datastore-servers": [url.replace(/\?.*/, "")] }, "how the way to"],
  ["without a database", { "datastore-servers": ["postgres://k8s:hidden-word@db.example"] }, "invalid address"],
])("a database %s is refused, and its password not repeated", (_what, more, said) => {
  expect(() => prepare(more)).toThrow(said);
  expect(() => prepare(more)).not.toThrow("hidden-word");
});
