import { describe, expect, test } from "vitest";
import { planBootstrap } from "../../../src/cluster/bootstrap/plan.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const outline = (input: Parameters<typeof planBootstrap>[0]) =>
  planBootstrap(input, "r1").steps.map(({ kind, args }) =>
    args !== null && "services" in args ? `${kind} ${args.services.join(" ")}` : kind,
  );

describe("the plan of a bootstrap", () => {
  test("starts each stage when the one before it answers, and commits last", () => {
    const all = "k8s-datastore kube-apiserver containerd kube-controller-manager kube-scheduler kubelet kube-proxy";
    expect(outline(aBootstrapInput({ kubernetes: true }))).toEqual([
      `check-host ${all}`,
      `create-directories ${all}`,
      "tune-system",
      "write-certificates",
      `install-services ${all}`,
      "start-services k8s-datastore",
      "await-services k8s-datastore",
      "record-cluster",
      "start-services kube-apiserver containerd",
      "await-services kube-apiserver containerd",
      "start-services kube-controller-manager kube-scheduler kubelet kube-proxy",
      "await-services kube-controller-manager kube-scheduler kubelet kube-proxy",
      "import-images",
      "open-listener",
      "commit-node",
    ]);
    const plan = planBootstrap(aBootstrapInput({ kubernetes: true }), "r1");
    expect(plan.commit).toBe(plan.steps.length - 1);
  });

  test("without Kubernetes has the agent's own part only", () => {
    expect(outline(aBootstrapInput({ kubernetes: false }))).toEqual([
      "check-host k8s-datastore",
      "create-directories k8s-datastore",
      "tune-system",
      "write-certificates",
      "install-services k8s-datastore",
      "start-services k8s-datastore",
      "await-services k8s-datastore",
      "record-cluster",
      "open-listener",
      "commit-node",
    ]);
  });

  test("records the cluster before it starts anything when the datastore is somebody else's", () => {
    const input = aBootstrapInput({ kubernetes: true });
    const view = {
      ...input.view,
      datastore: {
        engine: "external",
        endpoints: ["https://192.0.2.9:2379"],
        ca: true,
        clientCertificate: true,
      } as const,
    };
    const steps = outline({ ...input, view });
    expect(steps.indexOf("record-cluster")).toBeLessThan(steps.findIndex((step) => step.startsWith("start-services")));
    expect(steps.join()).not.toContain("k8s-datastore");
  });

  test("holds no key of the user", () => {
    const plan = JSON.stringify(planBootstrap(aBootstrapInput({ kubernetes: true }), "r1"));
    expect(plan).not.toContain("PRIVATE KEY");
  });
});
