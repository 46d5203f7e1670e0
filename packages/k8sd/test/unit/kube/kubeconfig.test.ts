import { expect, test } from "vitest";
import { parse } from "yaml";
import { parseKubeconfig, renderKubeconfig, serverUrl } from "../../../src/kube/kubeconfig.ts";
import { AppError } from "../../../src/lib/app-error.ts";

const content = { server: "https://127.0.0.1:6443", certificateAuthority: "CA\n", certificate: "CERT\n", key: "KEY\n" };

test("a kubeconfig holds one cluster, one user and one context, and nothing else", () => {
  expect(parse(renderKubeconfig(content))).toEqual({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "k8s", cluster: { "certificate-authority-data": "Q0EK", server: "https://127.0.0.1:6443" } }],
    users: [{ name: "k8s-user", user: { "client-certificate-data": "Q0VSVAo=", "client-key-data": "S0VZCg==" } }],
    contexts: [{ name: "k8s", context: { cluster: "k8s", user: "k8s-user" } }],
    "current-context": "k8s",
    preferences: {},
  });
});

test("what was rendered is read back", () => {
  const long = { ...content, certificate: "x".repeat(5000) };
  expect(parseKubeconfig(renderKubeconfig(long))).toEqual(long);
});

test("an IPv6 server has brackets", () => {
  expect(serverUrl("::1", 6443)).toBe("https://[::1]:6443");
  expect(serverUrl("10.0.0.1", 6443)).toBe("https://10.0.0.1:6443");
  expect(serverUrl("api.example.com", 443)).toBe("https://api.example.com:443");
});

test.each([
  ["no YAML", "a: [", "not YAML"],
  ["empty", "", "current-context is missing"],
  ["without the user it names", renderKubeconfig(content).replace("name: k8s-user", "name: other"), 'no "k8s-user"'],
  ["without a key", renderKubeconfig(content).replace("client-key-data", "token"), "client-key-data is missing"],
  ["plain http", renderKubeconfig({ ...content, server: "http://x" }), "https"],
  ["aliases that multiply", "a: &a [1]\nb: [*a, *a]\n", "not YAML"],
])("a kubeconfig that is %s is refused with the reason", (_what, text, reason) => {
  expect(() => parseKubeconfig(text)).toThrow(AppError);
  expect(() => parseKubeconfig(text)).toThrow(reason);
});
