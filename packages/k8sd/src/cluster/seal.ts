import { createHmac, createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError, isMissingFile } from "../lib/app-error.ts";
import { writeFileAtomic } from "../lib/write-file.ts";
import { seal, unseal } from "../pki/seal.ts";

/** Keeps secrets in a datastore unreadable to whoever can read it: the key is a file that never enters the datastore. */
export interface Seal {
  /** @param context binds the text to its place: sealed for one, it does not open for another. */
  seal(plain: string, context: string): string;
  /** What any of the keys sealed that this node has. */
  open(sealed: string, context: string): string;
  /** A secret that is the same for the same input and cannot be guessed without the key. 32 bytes, hex. */
  derive(input: string): string;
}

export const sealKeyBytes = 32;
/** While one key follows another there are two; what is more was left by a change that did not come to its end. */
const mostKeys = 8;

/** Tells keys apart and nothing about them. */
export function sealKeyId(key: Uint8Array): string {
  return createHmac("sha256", key).update("id of a key of the seal").digest("hex").slice(0, 16);
}

/** What a file of keys holds: the one that seals, then others that still open. */
export function splitKeys(file: Uint8Array): readonly Buffer[] {
  const count = file.length / sealKeyBytes;
  if (!Number.isInteger(count) || count < 1 || count > mostKeys) {
    throw new AppError("internal", `cannot use the keys of the seal: the file has ${file.length} bytes`);
  }
  const bytes = Buffer.from(file);
  return Array.from({ length: count }, (_, at) => bytes.subarray(at * sealKeyBytes, (at + 1) * sealKeyBytes));
}

/** Undefined for what was sealed before keys had ids. */
export function sealedWith(sealed: string): string | undefined {
  const at = sealed.indexOf(":");
  return at === -1 ? undefined : sealed.slice(0, at);
}

/** @param file the key that seals, and after it others that open */
export function createSeal(file: Uint8Array): Seal {
  const keys = splitKeys(file).map((bytes) => ({ id: sealKeyId(bytes), key: createSecretKey(bytes) }));
  const [{ id, key } = { id: "", key: createSecretKey(Buffer.alloc(0)) }] = keys;

  function keyOf(sealed: string, context: string): readonly KeyObject[] {
    const wanted = sealedWith(sealed);
    const found = keys.filter((known) => wanted === undefined || known.id === wanted).map((known) => known.key);
    if (found.length > 0) return found;
    throw new AppError(
      "unavailable",
      `cannot open the sealed ${context}: this node does not have the key ${wanted} yet`,
      {
        remedy: "It gets it from the other control planes by itself: try again in a moment.",
      },
    );
  }

  return {
    seal: (plain, context) => `${id}:${seal(Buffer.from(plain, "utf8"), key, context).toString("base64")}`,
    open: (sealed, context) => {
      const bytes = Buffer.from(sealed.slice(sealed.indexOf(":") + 1), "base64");
      const [first, ...others] = keyOf(sealed, context).map((candidate) => () => unseal(bytes, candidate, context));
      return firstThatWorks(first, others).toString("utf8");
    },
    derive: (input) => createHmac("sha256", key).update(input).digest("hex"),
  };
}

/** Without an id each key is tried; the reason that is told is the first one's. */
function firstThatWorks(first: (() => Buffer) | undefined, others: readonly (() => Buffer)[]): Buffer {
  if (first === undefined) throw new Error("no key");
  try {
    return first();
  } catch (error) {
    for (const other of others) {
      try {
        return other();
      } catch {
        // The next one.
      }
    }
    throw error;
  }
}

/** Reads the keys of the seal each time, because a join brings the cluster's own; makes one when there is none. */
export function createSealFile(path: string): () => Promise<Seal> {
  let making: Promise<Seal> | undefined;
  const read = async (): Promise<Seal> => createSeal(await readFile(path));
  const orMissing = (error: unknown): undefined => {
    if (isMissingFile(error)) return undefined;
    throw error;
  };

  async function make(): Promise<Seal> {
    // Whoever asked at the same time may have made it: a second key would not open what the first one closed.
    const made = await read().catch(orMissing);
    if (made !== undefined) return made;
    const key = randomBytes(sealKeyBytes);
    await writeFileAtomic({ path, content: key, mode: 0o600 });
    return createSeal(key);
  }

  return async () => {
    const known = await read().catch(orMissing);
    if (known !== undefined) return known;
    making ??= make().finally(() => {
      making = undefined;
    });
    return making;
  };
}
