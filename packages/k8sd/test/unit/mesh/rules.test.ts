import { generateKeyPairSync } from "node:crypto";
import { reserveRequest } from "@k8sd/api-types";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { describe, expect, test } from "vitest";
import { createAddressBook } from "../../../src/mesh/address-book.ts";
import { createAuthority } from "../../../src/mesh/authority.ts";
import { detectorDefaults, suspicionTimeout } from "../../../src/mesh/detector-options.ts";
import { createUnframer, frame } from "../../../src/mesh/frames.ts";
import { meshIdentity, publicKeyOfPeer } from "../../../src/mesh/identity.ts";
import { applyDelta, deltaSince, difference, emptyState, stateOf } from "../../../src/mesh/ledger-state.ts";
import { supersedes } from "../../../src/mesh/member-table.ts";
import { meshKey } from "../../../src/mesh/peer-id.ts";
import { classify } from "../../../src/mesh/reachability.ts";

test.each([
  ["suspect", 1, "alive", 1, true],
  ["alive", 1, "suspect", 1, false],
  ["alive", 2, "suspect", 1, true],
  ["alive", 2, "left", 1, true],
  ["dead", 1, "alive", 2, false],
  ["left", 1, "dead", 1, true],
  ["dead", 1, "left", 1, false],
  ["alive", 1, "unknown", 0, true],
  ["unknown", 9, "alive", 1, false],
] as const)("%s at %i over %s at %i: %s", (state, incarnation, known, knownIncarnation, wins) => {
  expect(supersedes({ state, incarnation }, { state: known, incarnation: knownIncarnation })).toBe(wins);
});

test.each(["P-256", "Ed25519"])(
  "the peer id of a %s key is the one that libp2p gives it, the same each time",
  (curve) => {
    const { privateKey } =
      curve === "Ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: curve });
    const { peerId, privateKey: own } = meshIdentity(privateKey);
    expect(peerId).toBe(peerIdFromPrivateKey(own).toString());
    expect(reserveRequest.shape["mesh-peer"].parse(peerId)).toBe(meshKey(privateKey).peerId);
  },
);

test("a suspicion is longer in larger clusters and shorter when others confirm it", () => {
  const at = (size: number, confirmations: number) => suspicionTimeout(detectorDefaults, size, confirmations);
  expect(at(1000, 3)).toBeGreaterThan(at(10, 3));
  expect([at(100, 0), at(100, 1), at(100, 2), at(100, 3)].map(Math.round)).toEqual([7200, 4500, 2921, 1800]);
  // Two nodes: nobody can confirm, so nothing is waited for.
  expect(at(2, 0)).toBeLessThan(2_000);
});

describe("ledger state", () => {
  const entry = (key: string, revision: number) => ({ key, value: `${key}@${revision}`, revision });
  const old = stateOf([entry("a", 1), entry("b", 2)], 0);
  const wanted = [entry("a", 1), entry("c", 5)];
  const change = difference(old, wanted, { epoch: 1, revision: 2 }, 5);
  const fresh = applyDelta(old, change, 5);

  test("a difference leads exactly there, by way of nothing as well", () => {
    expect([...fresh.entries.values()]).toEqual(wanted);
    expect(fresh.root).toEqual(stateOf(wanted, 5).root);
    expect(fresh.root).not.toEqual(old.root);
  });

  test("who is behind gets what changed, who is too far behind everything", () => {
    const head = { epoch: 1, revision: 5 };
    const since = deltaSince(fresh, { epoch: 1, revision: 2 }, head);
    expect(since).toMatchObject({ entries: [entry("c", 5)], removed: [{ key: "b", revision: 5 }] });
    expect(applyDelta(old, since, 5).root).toEqual(fresh.root);
    const other = deltaSince(fresh, { epoch: 0, revision: 9 }, head);
    expect(other.base).toBeUndefined();
    expect(applyDelta(emptyState, other, 5).root).toEqual(fresh.root);
  });
});

test("only a control plane's signature of this head in this cluster is valid", () => {
  const own = meshIdentity(generateKeyPairSync("ed25519").privateKey);
  const key = publicKeyOfPeer(own.peerId);
  const deps = { key: own.key, authorKey: (id: string) => (id === "cp" ? key : undefined) };
  const authority = createAuthority({ self: "cp", clusterId: "one" }, deps);
  const root = new Uint8Array(32);
  const head = authority.sign({ epoch: 1, revision: 2 }, root);
  if (head === undefined) throw new Error("a control plane signs");
  expect(authority.verify(head)).toBe(true);
  expect(authority.verify({ ...head, revision: 3 })).toBe(false);
  expect(authority.verify({ ...head, root: new Uint8Array(32).fill(1) })).toBe(false);
  expect(authority.verify({ ...head, author: "worker" })).toBe(false);
  expect(createAuthority({ self: "cp", clusterId: "two" }, deps).verify(head)).toBe(false);
  expect(createAuthority({ self: "worker", clusterId: "one" }, deps).sign(head, root)).toBeUndefined();
});

test.each(["P-256", "Ed25519"])("a %s key gives the same peer id each time, and the id its public key", (kind) => {
  const { privateKey } =
    kind === "P-256" ? generateKeyPairSync("ec", { namedCurve: kind }) : generateKeyPairSync("ed25519");
  const identity = meshIdentity(privateKey);
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  expect(meshIdentity(pem).peerId).toBe(identity.peerId);
  expect(publicKeyOfPeer(identity.peerId)?.asymmetricKeyType).toBe("ed25519");
  expect(publicKeyOfPeer("nonsense")).toBeUndefined();
});

test("new addresses go before old ones, survive a restart, and are forgotten with the node", () => {
  let saved: Parameters<Parameters<typeof createAddressBook>[0]["save"]>[0] = [];
  const cache = {
    load: () => saved,
    save: (peers: typeof saved) => {
      saved = peers;
    },
  };
  const book = createAddressBook(cache, () => book.save());
  book.setLedger([{ id: "a", addresses: ["old:1"] }]);
  expect(book.learn({ id: "a", incarnation: 5, addresses: ["new:1"] })).toBe(true);
  expect(book.learn({ id: "a", incarnation: 5, addresses: ["late:1"] })).toBe(false);
  expect(book.learn({ id: "stranger", incarnation: 5, addresses: ["x:1"] })).toBe(false);
  expect(book.of("a")).toEqual(["new:1", "old:1"]);
  const again = createAddressBook(cache, () => {});
  expect(again.of("a")).toEqual(["new:1", "old:1"]);
  // What the ledger says now is newer than what the node said before the restart.
  again.setLedger([{ id: "a", addresses: ["moved:1"] }]);
  expect(again.of("a")).toEqual(["moved:1", "new:1", "old:1"]);
  again.setLedger([]);
  expect(again.of("a")).toEqual([]);
});

test("frames come out as they went in, however they were cut; one that is too long ends the stream", () => {
  const got: string[] = [];
  const unframe = createUnframer(10, (message) => got.push(Buffer.from(message).toString()));
  const bytes = Buffer.concat([frame(Buffer.from("one")), frame(Buffer.from("")), frame(Buffer.from("three"))]);
  for (const byte of bytes) expect(unframe(Uint8Array.of(byte))).toBe(true);
  expect(got).toEqual(["one", "", "three"]);
  expect(unframe(frame(new Uint8Array(11)))).toBe(false);
});

test.each([
  ["resolve", new Error("getaddrinfo ENOTFOUND x"), "dns"],
  ["dial", new AggregateError([new Error("connect ECONNREFUSED")]), "tcp"],
  ["dial", Object.assign(new Error("bad"), { name: "EncryptionFailedError" }), "tls"],
  ["dial", new Error("x", { cause: new Error("The certificate is not valid yet") }), "clock"],
  ["dial", Object.assign(new Error("no"), { name: "DialDeniedError" }), "not-a-member"],
  ["stream", new Error("reset"), "not-a-member"],
] as const)("%s failing with %s is %s", (phase, error, reason) => {
  expect(classify(phase, error).reason).toBe(reason);
});
