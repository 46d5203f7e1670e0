import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createIdentityStore } from "../../../src/node-db/identity.ts";
import { createJournal } from "../../../src/node-db/journal.ts";
import { migrations } from "../../../src/node-db/migrations.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "node-db-"));
  file = join(directory, "state", "node.db");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("the database of a node", () => {
  test("is made with its directory, durable, and its schema has the newest version", async () => {
    using db = openNodeDb(file);
    expect(db.pragma("journal_mode", { simple: true })).toBe("wal");
    expect(db.pragma("synchronous", { simple: true })).toBe(2);
    expect(db.pragma("user_version", { simple: true })).toBe(migrations.length);
    expect((await stat(join(directory, "state"))).mode & 0o777).toBe(0o700);
    for (const each of [file, `${file}-wal`]) expect((await stat(each)).mode & 0o777).toBe(0o600);
  });

  test("opens again as it was", () => {
    {
      using db = openNodeDb(file);
      createIdentityStore<string>(db).commit({ id: "a", clusterId: "c", view: "v" }, 1);
    }
    using db = openNodeDb(file);
    expect(createIdentityStore<string>(db).read()).toEqual({ id: "a", clusterId: "c", view: "v" });
  });

  test("of a newer k8sd is refused with what to do, and stays as it is", () => {
    {
      using db = openNodeDb(file);
      db.pragma(`user_version = ${migrations.length + 1}`);
    }
    expect(() => openNodeDb(file)).toThrow(/its schema version \d+ is newer than \d+/);
  });
});

describe("the identity", () => {
  test("is one, and gone when the node leaves", () => {
    using db = openNodeDb(file);
    const identity = createIdentityStore<{ name: string }>(db);
    expect(identity.read()).toBeUndefined();
    identity.commit({ id: "a", clusterId: "c", view: { name: "n1" } }, 1);
    identity.commit({ id: "b", clusterId: "c", view: { name: "n2" } }, 2);
    expect(identity.read()).toEqual({ id: "b", clusterId: "c", view: { name: "n2" } });
    identity.clear();
    expect(identity.read()).toBeUndefined();
  });
});

describe("the journal", () => {
  const operation = { id: "o1", requestId: "r1", kind: "bootstrap", plan: "{}", secret: "hidden" };

  test("keeps a step, its note and the secret until the operation ends", () => {
    using db = openNodeDb(file);
    let time = 5;
    const journal = createJournal(db, () => time);
    journal.begin(operation);
    journal.step("o1", 0, "started");
    journal.note("o1", 0, '{"made":1}');
    time += 40;
    journal.step("o1", 0, "done");
    expect(journal.steps("o1")).toEqual([{ step: 0, state: "done", note: '{"made":1}', elapsedMs: 40 }]);
    expect(journal.secret("o1")).toBe("hidden");
    expect(journal.unfinished().map(({ id }) => id)).toEqual(["o1"]);
    journal.finish("o1", "done", { result: "{}" });
    expect(journal.secret("o1")).toBeUndefined();
    expect(journal.unfinished()).toEqual([]);
    expect(journal.byRequest("r1")).toMatchObject({ id: "o1", state: "done", finishedAt: 45 });
  });

  test("marks the step as done together with what it makes final, or neither", () => {
    using db = openNodeDb(file);
    const journal = createJournal(db, () => 5);
    const identity = createIdentityStore<null>(db);
    journal.begin(operation);
    journal.step("o1", 0, "started");
    const failing = () => {
      identity.commit({ id: "a", clusterId: "c", view: null }, 1);
      throw new Error("disk full");
    };
    expect(() => journal.commit("o1", 0, failing)).toThrow("disk full");
    expect(identity.read()).toBeUndefined();
    expect(journal.steps("o1")[0]?.state).toBe("started");
    journal.commit("o1", 0, () => identity.commit({ id: "a", clusterId: "c", view: null }, 1));
    expect(identity.read()?.id).toBe("a");
    expect(journal.steps("o1")[0]?.state).toBe("done");
  });

  test("forgets old operations that are over, never one that is not", () => {
    using db = openNodeDb(file);
    let time = 0;
    const journal = createJournal(db, () => {
      time += 1;
      return time;
    });
    journal.begin({ ...operation, secret: undefined });
    for (let index = 0; index < 250; index += 1) {
      const id = `later-${index}`;
      journal.begin({ id, requestId: id, kind: "bootstrap", plan: "{}", secret: undefined });
      journal.finish(id, "undone", {});
    }
    expect(journal.byId("o1")?.state).toBe("running");
    expect(journal.byId("later-0")).toBeUndefined();
    expect(journal.byId("later-249")).toBeDefined();
  });
});
