import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { AppError } from "../../lib/app-error.ts";

/**
 * The two halves of what protects snapshots. The operator holds the key, the cluster the lock: a node can make snapshots
 * and cannot read those that it made before. Both halves hold a common secret, so whoever has neither cannot make a
 * snapshot that the key opens.
 */
export interface SnapshotKey {
  readonly text: string;
  readonly lock: string;
}

/** Keys of one snapshot. */
export interface FileKeys {
  /** Authenticates the header. */
  readonly header: Buffer;
  /** Encrypts the content. */
  readonly content: Buffer;
}

/** What a snapshot says of its keys. */
export interface KeyHint {
  /** Of the key that opens it. */
  readonly id: string;
  /** Public half of what was made for this snapshot alone, base64url. */
  readonly ephemeral: string;
}

const keyPrefix = "k8s-snapshot-key-1:";
const lockPrefix = "k8s-snapshot-lock-1:";
const partBytes = 32;
/** What DER puts before the 32 bytes of an X25519 key (RFC 8410). */
const privateHead = Buffer.from("302e020100300506032b656e04220420", "hex");
const publicHead = Buffer.from("302a300506032b656e032100", "hex");

export function createSnapshotKey(): SnapshotKey {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const common = randomBytes(partBytes);
  return {
    text: join(keyPrefix, privateBytes(privateKey), common),
    lock: join(lockPrefix, rawPublic(publicKey), common),
  };
}

/** @param text of a key file: comments, and the key in a line of its own. */
export function lockOf(text: string): string {
  const { privateKey, common } = parseKey(text);
  return join(lockPrefix, rawPublic(createPublicKey(privateKey)), common);
}

/** Names a key without telling anything of it. */
export function keyIdOf(lock: string): string {
  const { recipient, common } = parseLock(lock);
  return createHash("sha256")
    .update("k8sd snapshot key id")
    .update(recipient)
    .update(common)
    .digest("hex")
    .slice(0, 16);
}

/** New keys for one snapshot, and what leads to them. */
export function keysForNew(lock: string): { readonly keys: FileKeys; readonly hint: KeyHint } {
  const { recipient, common } = parseLock(lock);
  const own = generateKeyPairSync("x25519");
  const ephemeral = rawPublic(own.publicKey);
  const shared = diffieHellman({ privateKey: own.privateKey, publicKey: publicKeyOf(recipient) });
  return {
    keys: derive(shared, common, ephemeral, recipient),
    hint: { id: keyIdOf(lock), ephemeral: ephemeral.toString("base64url") },
  };
}

/** @throws when the snapshot needs another key. */
export function keysFor(hint: KeyHint, text: string): FileKeys {
  const { privateKey, common } = parseKey(text);
  const id = keyIdOf(lockOf(text));
  if (hint.id !== id) {
    throw new AppError("invalid", `cannot open the snapshot: it needs the key ${hint.id}, and this is ${id}`, {
      field: "--key-file",
      remedy: "Give the key that was in use when the snapshot was made.",
    });
  }
  const ephemeral = Buffer.from(hint.ephemeral, "base64url");
  if (ephemeral.length !== partBytes) throw new AppError("invalid", "cannot open the snapshot: its header is damaged");
  const shared = diffieHellman({ privateKey, publicKey: publicKeyOf(ephemeral) });
  return derive(shared, common, ephemeral, rawPublic(createPublicKey(privateKey)));
}

export function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function derive(shared: Buffer, common: Buffer, ephemeral: Buffer, recipient: Buffer): FileKeys {
  const secret = Buffer.concat([shared, common]);
  const salt = Buffer.concat([ephemeral, recipient]);
  const part = (use: string) => Buffer.from(hkdfSync("sha256", secret, salt, `k8sd snapshot 1 ${use}`, partBytes));
  return { header: part("header"), content: part("content") };
}

function parseKey(text: string): { readonly privateKey: KeyObject; readonly common: Buffer } {
  const [raw, common] = parse(
    text,
    keyPrefix,
    "is no key of snapshots",
    "Give the file that 'k8s snapshot key' wrote.",
  );
  const der = Buffer.concat([privateHead, raw]);
  return { privateKey: createPrivateKey({ key: der, format: "der", type: "pkcs8" }), common };
}

function parseLock(text: string): { readonly recipient: Buffer; readonly common: Buffer } {
  const [recipient, common] = parse(text, lockPrefix, "is no lock of snapshots", "Make a key with 'k8s snapshot key'.");
  return { recipient, common };
}

function parse(text: string, prefix: string, what: string, remedy: string): readonly [Buffer, Buffer] {
  const line = text
    .split("\n")
    .map((each) => each.trim())
    .find((each) => each.startsWith(prefix));
  const bytes = Buffer.from(line?.slice(prefix.length) ?? "", "base64url");
  if (bytes.length !== 2 * partBytes + checkBytes || !sameBytes(bytes.subarray(2 * partBytes), check(bytes))) {
    throw new AppError("invalid", `cannot use the key: the text ${what}`, { field: "--key-file", remedy });
  }
  return [bytes.subarray(0, partBytes), bytes.subarray(partBytes, 2 * partBytes)];
}

const checkBytes = 4;

/** Tells a slip of the pen from a wrong key. */
function check(bytes: Buffer): Buffer {
  return createHash("sha256")
    .update(bytes.subarray(0, 2 * partBytes))
    .digest()
    .subarray(0, checkBytes);
}

function join(prefix: string, first: Buffer, second: Buffer): string {
  const bytes = Buffer.concat([first, second]);
  return prefix + Buffer.concat([bytes, check(bytes)]).toString("base64url");
}

function rawPublic(key: KeyObject): Buffer {
  return key.export({ format: "der", type: "spki" }).subarray(publicHead.length);
}

function privateBytes(key: KeyObject): Buffer {
  return key.export({ format: "der", type: "pkcs8" }).subarray(privateHead.length);
}

function publicKeyOf(raw: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([publicHead, raw]), format: "der", type: "spki" });
}
