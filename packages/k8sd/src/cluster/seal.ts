import { createHmac, createSecretKey, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isMissingFile } from "../lib/app-error.ts";
import { writeFileAtomic } from "../lib/write-file.ts";
import { seal, unseal } from "../pki/seal.ts";

/** Keeps secrets in a datastore unreadable to whoever can read it: the key is a file that never enters the datastore. */
export interface Seal {
  /** @param context binds the text to its place: sealed for one, it does not open for another. */
  seal(plain: string, context: string): string;
  open(sealed: string, context: string): string;
  /** A secret that is the same for the same input and cannot be guessed without the key. 32 bytes, hex. */
  derive(input: string): string;
}

const keyBytes = 32;

export function createSeal(bytes: Uint8Array): Seal {
  const key = createSecretKey(bytes);
  return {
    seal: (plain, context) => seal(Buffer.from(plain, "utf8"), key, context).toString("base64"),
    open: (sealed, context) => unseal(Buffer.from(sealed, "base64"), key, context).toString("utf8"),
    derive: (input) => createHmac("sha256", key).update(input).digest("hex"),
  };
}

/** Reads the key of the seal each time, because a join brings the cluster's own; makes it when there is none. */
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
    const key = randomBytes(keyBytes);
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
