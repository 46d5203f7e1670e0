import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { joins, joinToken, members } from "../join/nodes.ts";
import { createPostgresNodes, type PostgresNodes, password } from "../postgres/nodes.ts";
import { contentHash, fill, isOn, migrate, migrates, migratesUnderLoad, write } from "./engines.ts";
import { isAt, startTheirEtcd } from "./their-etcd.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)(
  "a cluster without Kubernetes whose datastore moves to PostgreSQL and back",
  () => {
    let nodes: PostgresNodes;
    let [n1, n2]: readonly Host[] = [];
    const host = (known: Host | undefined): Host => {
      if (known === undefined) throw new Error("the host was not made");
      return known;
    };
    beforeAll(async () => {
      nodes = await createPostgresNodes(2, ["--agent-only"]);
      [n1, n2] = nodes.hosts;
      await bootstrap(host(n1));
      await fill(host(n1), 500);
    });
    afterAll(() => nodes?.[Symbol.asyncDispose]());
    afterEach(({ task }) => {
      if (task.result?.state === "fail") for (const each of nodes.hosts) each.markFailed();
    });

    test("is refused with the reason, and without the password, where the database does not do", async () => {
      const missing = (await nodes.config()).replace(/test_\w+/, "nothing");
      const refused = await migrate(host(n1), "external", missing);
      expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/nothing.*does not exist/) });
      expect(refused.stderr).not.toContain(password);
      const without = await k8s(host(n1), ["datastore", "migrate", "--to", "external"]);
      expect(without).toMatchObject({ exitCode: 1, stderr: "Error: --file is for --to external, which needs it.\n" });
      const other = await migrate(host(n1), "external", 'datastore-servers: ["https://192.0.2.1:2379"]\n');
      expect(other).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("192.0.2.1:2379 cannot be used") });
      await isOn(host(n1), "sqlite");
    });

    test("from sqlite to PostgreSQL keeps every acknowledged write, and another control plane can join there", async () => {
      await migratesUnderLoad(host(n1), "external", "sqlite", await nodes.config());
      await joins(host(n2), "n2", await joinToken(host(n1), "n2"));
      for (const each of [n1, n2]) await becomesReady(host(each));
      expect(await members(host(n2))).toEqual({ [host(n1).name]: "active", n2: "active" });
      expect(await contentHash(host(n2))).toBe(await contentHash(host(n1)));
    });

    test("with two control planes it stays, and the reason is said", async () => {
      const refused = await migrate(host(n1), "etcd");
      expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("n2 is a control plane too") });
      const removed = await k8s(host(n1), ["remove-node", "n2"]);
      expect(removed.exitCode, removed.stderr).toBe(0);
    });

    test("the password is in files of the daemon's state alone", async () => {
      const { stdout } = await host(n1).run("grep", "-rla", password, "/var/snap", "/etc");
      const state = "/var/snap/k8s/common/var/lib/k8sd/state";
      expect(
        stdout
          .trim()
          .split("\n")
          .filter((file) => !file.startsWith(`${state}/`)),
      ).toEqual([]);
      expect((await host(n1).run("ps", "axww", "-o", "args")).stdout).not.toContain(password);
      expect((await k8s(host(n1), ["datastore", "status"])).stdout).not.toContain(password);
    });

    test("from PostgreSQL to etcd, from there to PostgreSQL, and to sqlite", async () => {
      await migratesUnderLoad(host(n1), "etcd", "external");
      await migratesUnderLoad(host(n1), "external", "etcd", await nodes.config());
      await migratesUnderLoad(host(n1), "sqlite", "external");
    });

    test("straight to an etcd of somebody else, and from there to another database", async () => {
      const etcd = await startTheirEtcd(host(n1));
      await migrates(host(n1), "external", await nodes.config());
      const content = await contentHash(host(n1));
      const writing = await write(host(n1));
      const out = await migrates(host(n1), "external", etcd.config());
      expect(await writing.ends(etcd.etcdctl)).toBeGreaterThan(10);
      await isAt(host(n1), "theirs", etcd);
      expect(await etcd.contentHash()).toBe(content);
      const back = await migrates(host(n1), "external", await nodes.config());
      await isAt(host(n1), "postgres", etcd);
      expect(await contentHash(host(n1))).toBe(content);
      await etcd.theirsIsUntouched();
      console.info(`PostgreSQL to an external etcd: ${out.pauseMs} ms, back: ${back.pauseMs} ms of paused writes`);
      const again = await migrate(host(n1), "external", await nodes.config());
      expect(again).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("it is in a database already") });
      await migrates(host(n1), "sqlite");
    });

    test("a database that holds a cluster is not taken, and one that was left is not touched", async () => {
      const config = await nodes.config();
      await migrates(host(n1), "external", config);
      await migrates(host(n1), "sqlite");
      const refused = await migrate(host(n1), "external", config);
      expect(refused.exitCode).toBe(1);
      expect(refused.stderr).toMatch(/is not empty: its schema k8s_datastore holds \d+ keys of a cluster/);
      await isOn(host(n1), "sqlite");
    });
  },
);
