import type { NodeStatus } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { bootstrapOutput } from "../../src/format/bootstrap-result.ts";
import { localNodeOutput } from "../../src/format/node-status.ts";
import { type OutputFormat, render } from "../../src/format/output.ts";

const node: NodeStatus = {
  "datastore-role": "voter",
  address: "10.0.0.1:6400",
  name: "node-a",
  "cluster-role": "control-plane",
};

describe("local-node-status", () => {
  test.each<[OutputFormat, string]>([
    ["plain", "{node-a 10.0.0.1:6400 control-plane voter}\n"],
    [
      "json",
      '{\n  "name": "node-a",\n  "address": "10.0.0.1:6400",\n  "cluster-role": "control-plane",\n  "datastore-role": "voter"\n}\n',
    ],
    ["yaml", "name: node-a\naddress: 10.0.0.1:6400\ncluster-role: control-plane\ndatastore-role: voter\n"],
  ])("as %s", async (format, text) => {
    expect(await render(localNodeOutput(node), format)).toBe(text);
  });

  test("of a worker has no datastore role", async () => {
    const worker: NodeStatus = { name: "w", address: "10.0.0.2", "cluster-role": "worker" };
    expect(await render(localNodeOutput(worker), "plain")).toBe("{w 10.0.0.2 worker }\n");
  });
});

describe("the result of bootstrap", () => {
  const result: NodeStatus = { name: "node-a", address: "10.0.0.1:6400" };
  test.each<[OutputFormat, string]>([
    [
      "plain",
      `Bootstrapped a new Kubernetes cluster with node address "10.0.0.1:6400".
The node will be 'Ready' to host workloads after the CNI is deployed successfully.

`,
    ],
    ["json", '{\n  "node": {\n    "name": "node-a",\n    "address": "10.0.0.1:6400"\n  }\n}\n'],
    ["yaml", "node:\n  name: node-a\n  address: 10.0.0.1:6400\n"],
  ])("as %s", async (format, text) => {
    expect(await render(bootstrapOutput(result), format)).toBe(text);
  });
});
