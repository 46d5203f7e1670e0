import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { authorizationArguments, authorizationConfig } from "../../../src/components/authorization.ts";
import { aNode } from "./support.ts";

const confD = "/var/snap/k8s/common/args/conf.d";

describe("the rules of kube-apiserver", () => {
  test("begin with a no for nodes that are no members, whoever is asked and does not answer", () => {
    const { path, mode, content } = authorizationConfig(aNode(), ["b", "a"]);
    expect({ path, mode }).toEqual({ path: `${confD}/authorization.yaml`, mode: 0o600 });
    expect(parse(String(content))).toEqual({
      apiVersion: "apiserver.config.k8s.io/v1",
      kind: "AuthorizationConfiguration",
      authorizers: [
        {
          type: "Webhook",
          name: "k8sd-members",
          webhook: {
            connectionInfo: { type: "KubeConfigFile", kubeConfigFile: `${confD}/authorization-webhook.conf` },
            failurePolicy: "Deny",
            timeout: "3s",
            subjectAccessReviewVersion: "v1",
            matchConditionSubjectAccessReviewVersion: "v1",
            matchConditions: [
              { expression: "request.uid.startsWith('k8sd.io/node/')" },
              { expression: "!(request.uid in ['k8sd.io/node/a', 'k8sd.io/node/b'])" },
            ],
          },
        },
        { type: "Node", name: "node" },
        { type: "RBAC", name: "rbac" },
      ],
    });
  });

  test("are the same for the same members in another order", () => {
    expect(authorizationConfig(aNode(), ["a", "b"])).toEqual(authorizationConfig(aNode(), ["b", "a"]));
  });

  test("follow the authorization mode", () => {
    const { content } = authorizationConfig(aNode({ authorizationMode: "AlwaysAllow" }), ["a"]);
    expect(parse(String(content)).authorizers.slice(1)).toEqual([{ type: "AlwaysAllow", name: "alwaysallow" }]);
  });

  test("of 5,000 nodes are expressions that kube-apiserver can read, with each node in one", () => {
    const members = Array.from(
      { length: 5_000 },
      (_, index) => `${String(index).padStart(8, "0")}-0000-8000-8000-0123456789ab`,
    );
    const { content } = authorizationConfig(aNode(), members);
    const [, ...conditions]: { expression: string }[] = parse(String(content)).authorizers[0].webhook.matchConditions;
    expect(conditions.length).toBeLessThan(64);
    expect(conditions.every(({ expression }) => expression.length < 100_000)).toBe(true);
    const named = conditions.flatMap(({ expression }) =>
      [...expression.matchAll(/'k8sd\.io\/node\/([^']+)'/g)].map(([, id]) => id),
    );
    expect(named).toEqual(members);
  });

  const config = { "--authorization-config": `${confD}/authorization.yaml` };
  const mode = { "--authorization-mode": "Node,RBAC" };
  test.each([
    ["without arguments of a user", {}, config],
    ["with other arguments of a user", { "--profiling": "true" }, config],
    ["with a user's mode, which no file goes with", { "--authorization-mode": "RBAC" }, mode],
    ["with a user's webhook", { "--authorization-webhook-config-file": "/x" }, mode],
    ["with a user's own file", { "--authorization-config": "/x" }, {}],
    ["with no file wanted", { "--authorization-config": null }, mode],
  ])("%s", (_case, extra, wanted) => {
    expect(authorizationArguments(aNode({ extraArgs: { "kube-apiserver": extra } }))).toEqual(wanted);
  });
});
