import { createHmac } from "node:crypto";
import { z } from "zod";
import { AppError } from "../../lib/app-error.ts";
import { type FileKeys, sameBytes } from "./key.ts";

/** What everybody may read of a snapshot; nobody without its keys can change it unnoticed. */
export const snapshotHeader = z.object({
  id: z.uuid(),
  cluster: z.object({ id: z.string(), epoch: z.int() }),
  /** Name of the node that made it. */
  node: z.string(),
  engine: z.enum(["sqlite", "etcd", "external"]),
  /** The content is that of the datastore at this revision. */
  revision: z.int(),
  keys: z.int(),
  /** Milliseconds since the Unix epoch. */
  createdAt: z.number(),
  /** Of what ran on the node, by name: `k8sd`, `kubernetes`. */
  versions: z.record(z.string(), z.string()),
  key: z.object({ id: z.string(), ephemeral: z.string() }),
});
export type SnapshotHeader = z.infer<typeof snapshotHeader>;

const magic = Buffer.from("k8sdsnap", "latin1");
const formatVersion = 1;
/** Magic, version, length of the header. */
export const preambleBytes = magic.length + 1 + 4;
export const headerTagBytes = 32;
const maxHeaderBytes = 64 * 1024;

/** The beginning of the file, up to its content. */
export function encodeHeader(header: SnapshotHeader, keys: FileKeys): Buffer {
  const json = Buffer.from(JSON.stringify(header), "utf8");
  const preamble = Buffer.alloc(preambleBytes);
  magic.copy(preamble);
  preamble.writeUInt8(formatVersion, magic.length);
  preamble.writeUInt32BE(json.length, magic.length + 1);
  const head = Buffer.concat([preamble, json]);
  return Buffer.concat([head, tagOf(head, keys)]);
}

/** @returns the length of the header that follows. */
export function parsePreamble(preamble: Buffer): number {
  if (preamble.length < preambleBytes || !preamble.subarray(0, magic.length).equals(magic)) {
    throw new AppError("invalid", "cannot open the snapshot: the file is no snapshot of k8sd", {
      remedy: "Name a file that 'k8s snapshot save' made.",
    });
  }
  const version = preamble.readUInt8(magic.length);
  if (version !== formatVersion) {
    throw new AppError(
      "invalid",
      `cannot open the snapshot: it has format ${version}, and this program knows ${formatVersion}`,
      { remedy: "Restore it with a version of k8sd that knows its format." },
    );
  }
  const length = preamble.readUInt32BE(magic.length + 1);
  if (length === 0 || length > maxHeaderBytes) throw damagedHeader();
  return length;
}

export function parseHeader(json: Buffer): SnapshotHeader {
  try {
    return snapshotHeader.parse(JSON.parse(json.toString("utf8")));
  } catch (cause) {
    throw damagedHeader(cause);
  }
}

/** @param head the file's beginning up to its tag */
export function checkHeader(head: Buffer, tag: Buffer, keys: FileKeys): void {
  if (!sameBytes(tag, tagOf(head, keys))) throw damagedHeader();
}

function tagOf(head: Buffer, keys: FileKeys): Buffer {
  return createHmac("sha256", keys.header).update(head).digest();
}

function damagedHeader(cause?: unknown): AppError {
  return new AppError("invalid", "cannot open the snapshot: its header is damaged", {
    cause,
    remedy: "Use another snapshot.",
  });
}
