import { expect, test } from "vitest";
import { withPathsOf } from "../../../src/cluster/bootstrap/prepare.ts";
import { createPaths, snapDirectories } from "../../../src/host/paths.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

test.each([
  [{}, "/snap/k8s/current"],
  [{ SNAP: "/snap/k8s/x1", SNAP_REVISION: "x1" }, "/snap/k8s/current"],
  [{ SNAP: "/snap/k8s_two/42", SNAP_REVISION: "42" }, "/snap/k8s_two/current"],
  [{ SNAP: "/opt/k8s" }, "/opt/k8s"],
])("what is written with the package's directory outlives a refresh: %j", (env, snap) => {
  expect(snapDirectories(env).snap).toBe(snap);
});

test("a node that another version set up has its files where this one has them, containerd's where the user wants them", () => {
  const input = aBootstrapInput({ kubernetes: true });
  const host = { paths: createPaths({ root: "/", snap: "/snap/k8s/current", snapCommon: "/var/snap/k8s/common" }) };
  const { authorizationConfig: _new, ...older } = createPaths({
    ...{ root: "/", snap: "/snap/k8s/41", snapCommon: "/var/snap/k8s/common" },
    containerdBase: "/elsewhere",
  });
  const stored = { ...input, view: { ...input.view, paths: older as typeof input.view.paths } };
  const { paths } = withPathsOf(host, stored).view;
  expect(paths.authorizationConfig).toBe("/var/snap/k8s/common/args/conf.d/authorization.yaml");
  expect(paths.bin).toBe("/snap/k8s/current/bin");
  expect(paths.containerd.config).toBe("/elsewhere/etc/containerd/config.toml");
});
