import { expect, test } from "vitest";
import { etcd, recoveringEtcd } from "../../../src/components/etcd.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const { view: base } = aBootstrapInput({ kubernetes: false });
const view = {
  ...base,
  datastore: {
    engine: "etcd",
    endpoints: ["https://127.0.0.1:2379"],
    clientPort: 2379,
    peerPort: 2380,
    initialCluster: { state: "existing", peers: { n1: "https://192.0.2.10:2380" } },
  },
} as const;

test("the etcd of a recovery takes up a copy alone, and nobody else reaches it; all else is as usual", () => {
  const usual = etcd.render(view).service;
  const alone = recoveringEtcd("/copy").render(view).service;
  expect(alone).toEqual({
    ...usual,
    args: {
      ...usual.args,
      "--data-dir": "/copy",
      "--force-new-cluster": "true",
      "--listen-client-urls": "https://127.0.0.1:2379",
      "--listen-peer-urls": "https://127.0.0.1:2380",
    },
  });
  expect(usual.args).not.toHaveProperty("--force-new-cluster");
  expect(alone.name).toBe(usual.name);
});
