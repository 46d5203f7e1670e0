import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError, isMissingFile } from "../lib/app-error.ts";
import { writeFileAtomic } from "../lib/write-file.ts";

/** Keeps secrets in a datastore unreadable to whoever can read the datastore: its key is a file that never enters it. */
export interface Seal {
  /** @param purpose binds the text to its place: sealed for one, it does not open for another. */
  seal(plain: string, purpose: string): string;
  /** @throws AppError when the text was changed, moved or sealed with another key. */
  open(sealed: string, purpose: string): string;
  /** A secret that is the same for the same input and cannot be guessed without the key. 32 bytes, hex. */
  derive(input: string): string;
}

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
/** First byte of every sealed text, so that the way can change without guessing. */
const version = 1;

export function createSeal(key: Uint8Array): Seal {
  return {
    seal: (plain, purpose) => {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      cipher.setAAD(Buffer.from(purpose));
      const body = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()]);
      return Buffer.concat([Buffer.of(version), nonce, cipher.getAuthTag(), body]).toString("base64");
    },
    open: (sealed, purpose) => {
      const bytes = Buffer.from(sealed, "base64");
      try {
        if (bytes[0] !== version) throw new Error(`unknown version ${bytes[0]}`);
        const nonce = bytes.subarray(1, 1 + nonceBytes);
        const tag = bytes.subarray(1 + nonceBytes, 1 + nonceBytes + tagBytes);
        const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
        decipher.setAAD(Buffer.from(purpose));
        decipher.setAuthTag(tag);
        return decipher.update(bytes.subarray(1 + nonceBytes + tagBytes), undefined, "utf8") + decipher.final("utf8");
      } catch (error) {
        throw new AppError("internal", `cannot open the sealed ${purpose}: it was changed or sealed with another key`, {
          cause: error,
          remedy: "Restore the seal key that this node had when the cluster was made.",
        });
      }
    },
    derive: (input) => createHmac("sha256", key).update(input).digest("hex"),
  };
}

/** Reads the key of the seal, or makes it. */
export async function loadSeal(file: string): Promise<Seal> {
  try {
    return createSeal(await readFile(file));
  } catch (error) {
    if (!isMissingFile(error)) throw error;
    const key = randomBytes(keyBytes);
    await writeFileAtomic({ path: file, content: key, mode: 0o600 });
    return createSeal(key);
  }
}
