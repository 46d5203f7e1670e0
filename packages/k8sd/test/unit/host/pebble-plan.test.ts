import { describe, expect, test } from "vitest";

import { joinCommand, splitCommand } from "../../../src/host/command-line.ts";
import { parseDuration } from "../../../src/host/duration.ts";
import { combineLayers, parseLayer } from "../../../src/host/pebble-layer.ts";
import { planServices, withDependents, withRequired } from "../../../src/host/pebble-plan.ts";
import { backoffDelay } from "../../../src/host/service-runner.ts";

const plan = (...texts: string[]) => planServices(texts.map((text, index) => parseLayer(`layer ${index}`, text)));

describe("a command", () => {
  test.each([
    [`a b  c`, ["a", "b", "c"]],
    [`a "b c" 'd e'`, ["a", "b c", "d e"]],
    [`a b" c"'d'\\ e`, ["a", "b cd e"]],
    [`a "x\\"y" 'it'\\''s' ""`, ["a", 'x"y', "it's", ""]],
    ["a $HOME `id` $(id) *", ["a", "$HOME", "`id`", "$(id)", "*"]],
    [`svc --x [ --default "1 2" ]`, ["svc", "--x", "--default", "1 2"]],
    [`a '[' b`, ["a", "[", "b"]],
  ])("%s is split as a shell quotes, and no more", (command, argv) => {
    expect(splitCommand(command)).toEqual(argv);
  });

  test.each(["", "  ", "a 'b", 'a "b', "a \\"])("%j is refused", (command) => {
    expect(() => splitCommand(command)).toThrow(expect.objectContaining({ kind: "invalid" }));
  });

  test("is joined so that it is split again into the same", () => {
    const argv = ["/a b/run", "it's", '"', "", "$x", "[", "--a=b", "\\"];
    expect(splitCommand(joinCommand(argv))).toEqual(argv);
  });
});

test.each([
  ["500ms", 500],
  ["1m30s", 90_000],
  ["2.5s", 2_500],
  ["1h", 3_600_000],
  ["5", undefined],
  ["", undefined],
  ["-1s", undefined],
])("the duration %s is %s ms", (text, expected) => {
  expect(parseDuration(text)).toBe(expected);
});

describe("a layer", () => {
  test("gets the defaults of the format", () => {
    const { services, checks } = plan(`
services:
  svc: {override: replace, command: "run svc"}
checks:
  port: {override: replace, period: 2s, tcp: {port: 80}}
`);
    expect(services.get("svc")).toEqual({
      name: "svc",
      argv: ["run", "svc"],
      enabled: false,
      requires: [],
      environment: {},
      identity: { user: undefined, group: undefined, workingDir: "/" },
      onSuccess: "restart",
      onFailure: "restart",
      onCheckFailure: {},
      backoff: { delayMs: 500, factor: 2, limitMs: 30_000 },
      killDelayMs: 5_000,
    });
    expect(checks.get("port")).toEqual({
      name: "port",
      enabled: true,
      periodMs: 2_000,
      timeoutMs: 2_000,
      threshold: 3,
      probe: { kind: "tcp", host: "localhost", port: 80 },
    });
  });

  test.each([
    ["services: {a: {command: x}}", "override"],
    ["services: {a: {override: replace, command: x, comand: y}}", "comand"],
    ["service: {}", "service"],
    ["services: {pebble: {override: replace, command: x}}", "pebble"],
    ["services: {a: {override: replace, command: x, kill-delay: 5}}", "kill-delay"],
    ["services: {a: {override: replace, command: x, backoff-factor: 0.5}}", "backoff-factor"],
    ["services: {a: {override: replace, command: x, on-success: reboot}}", "on-success"],
    ["services: [", "layer 0"],
  ])("%s is refused and the place named", (text, place) => {
    expect(() => plan(text)).toThrow(
      expect.objectContaining({ kind: "invalid", message: expect.stringContaining(place) }),
    );
  });

  test.each([
    ["services: {a: {override: replace}}", "no command"],
    ["services: {a: {override: replace, command: x, requires: [b]}}", "requires b"],
    [
      "services: {a: {override: replace, command: x, after: [b]}, b: {override: replace, command: x, after: [a]}}",
      "a, b wait for each other",
    ],
    ["checks: {c: {override: replace}}", "exactly one"],
    ["checks: {c: {override: replace, tcp: {port: 1}, http: {url: 'http://x'}}}", "exactly one"],
    ["checks: {c: {override: replace, exec: {command: x, service-context: none}}}", "none"],
  ])("%s cannot be used and the reason is given", (text, reason) => {
    expect(() => plan(text)).toThrow(
      expect.objectContaining({ kind: "invalid", message: expect.stringContaining(reason) }),
    );
  });

  test("above another one replaces it, or merges: scalars replaced, lists appended, maps merged", () => {
    const below =
      "services: {a: {override: replace, command: x, after: [b], environment: {A: '1', B: '2'}, startup: enabled}}";
    const merged = combineLayers([
      parseLayer("1", below),
      parseLayer("2", "services: {a: {override: merge, command: y, after: [c], environment: {B: '3'}}}"),
    ]);
    expect(merged.services.a).toEqual({
      override: "merge",
      command: "y",
      after: ["b", "c"],
      environment: { A: "1", B: "3" },
      startup: "enabled",
    });
    const replaced = combineLayers([
      parseLayer("1", below),
      parseLayer("2", "services: {a: {override: replace, command: z}}"),
    ]);
    expect(replaced.services.a).toEqual({ override: "replace", command: "z" });
  });
});

describe("order", () => {
  const cluster = plan(`
services:
  kubelet: {override: replace, command: x, after: [containerd, kube-apiserver]}
  kube-apiserver: {override: replace, command: x, requires: [etcd]}
  containerd: {override: replace, command: x, before: [etcd]}
  etcd: {override: replace, command: x, after: [not-here]}
  proxy: {override: replace, command: x, requires: [kube-apiserver]}
`);

  test("puts each service behind those it comes after", () => {
    expect([...cluster.services.keys()]).toEqual(["containerd", "etcd", "kube-apiserver", "kubelet", "proxy"]);
  });

  test("a start brings what is required, first things first; a stop takes what depends, last things first", () => {
    expect(withRequired(cluster, "proxy").map(({ name }) => name)).toEqual(["etcd", "kube-apiserver", "proxy"]);
    expect(withDependents(cluster, "etcd")).toEqual(["proxy", "kube-apiserver", "etcd"]);
    expect(withDependents(cluster, "kubelet")).toEqual(["kubelet"]);
  });
});

test("the delay grows with each quick end up to its limit", () => {
  const backoff = { delayMs: 500, factor: 2, limitMs: 3_000 };
  expect([0, 1, 2, 3, 4, 50].map((failures) => backoffDelay(backoff, failures))).toEqual([
    500, 500, 1_000, 2_000, 3_000, 3_000,
  ]);
});
