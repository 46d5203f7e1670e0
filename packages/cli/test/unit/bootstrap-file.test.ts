import { describe, expect, test } from "vitest";
import { parseBootstrapFile } from "../../src/bootstrap-file.ts";

describe("a bootstrap file", () => {
  test("is read as YAML 1.1, as Go programs do", () => {
    const text = `
cluster-config:
  network: { enabled: yes }
  dns: { enabled: Off, cluster-domain: cluster.test }
disable-rbac: on
secure-port: 016
extra-sans: [1:2:3:4:5:6:7:8, 10.0.0.1, 2026-01-02]
`;
    expect(parseBootstrapFile(text)).toEqual({
      "cluster-config": { network: { enabled: true }, dns: { enabled: false, "cluster-domain": "cluster.test" } },
      "disable-rbac": true,
      "secure-port": 14,
      "extra-sans": ["1:2:3:4:5:6:7:8", "10.0.0.1", "2026-01-02"],
    });
  });

  test("keeps the text of values that are text, and null that takes a flag away", () => {
    const text = `
cluster-config:
  annotations: { a/b: yes, "c": "d" }
extra-node-kubelet-args:
  --v: 1.10
  --enable-server: true
  --max-pods: 0x10
  --gone: null
  --bare:
extra-node-config-files: { a.conf: 5 }
extra-node-containerd-config: { version: 2, plugins: { x: { enabled: yes } } }
`;
    expect(parseBootstrapFile(text)).toEqual({
      "cluster-config": { annotations: { "a/b": "yes", c: "d" } },
      "extra-node-kubelet-args": {
        "--v": "1.10",
        "--enable-server": "true",
        "--max-pods": "0x10",
        "--gone": null,
        "--bare": null,
      },
      "extra-node-config-files": { "a.conf": "5" },
      "extra-node-containerd-config": { version: 2, plugins: { x: { enabled: true } } },
    });
  });

  test.each(["", "# nothing\n", "---\n", "null\n"])("may be empty: %j", (text) => {
    expect(parseBootstrapFile(text)).toEqual({});
  });

  test("leaves keys it does not know to the daemon", () => {
    expect(parseBootstrapFile("unknown-key: 1")).toEqual({ "unknown-key": 1 });
  });

  test.each([
    ["a: 1\na: 2\n", /unique.*line 2/s],
    ["a: [1\n", /line 2|flow/i],
    ["- a\n", /must be a map/],
    ["just text", /must be a map/],
  ])("%j is refused with the place", (text, message) => {
    expect(() => parseBootstrapFile(text)).toThrow(message);
  });

  test("cannot be a small text that becomes a large one", () => {
    const levels = Array.from({ length: 12 }, (_, level) =>
      level === 0 ? "l0: &l0 [x, x, x]" : `l${level}: &l${level} [${`*l${level - 1}, `.repeat(9)}x]`,
    );
    expect(() => parseBootstrapFile(levels.join("\n"))).toThrow(/alias/i);
  });
});
