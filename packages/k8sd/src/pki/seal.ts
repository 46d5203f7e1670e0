import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from "node:crypto";
import { AppError } from "../lib/app-error.ts";

const algorithm = "aes-256-gcm";
const version = 1;
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Encrypts a secret for storage: version, nonce, tag and ciphertext in one buffer.
 * @param key a secret key of 32 bytes that is kept elsewhere than what it seals
 * @param context where the secret belongs, for example its name; it opens only under the same one
 */
export function seal(secret: Uint8Array, key: KeyObject, context: string): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(context, "utf8"));
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
  return Buffer.concat([Buffer.from([version]), nonce, cipher.getAuthTag(), ciphertext]);
}

export function unseal(sealed: Uint8Array, key: KeyObject, context: string): Buffer {
  const bytes = Buffer.from(sealed);
  const start = 1 + nonceBytes + tagBytes;
  if (bytes.length < start || bytes[0] !== version) throw unreadable(context, "it was not sealed by this program");
  const decipher = createDecipheriv(algorithm, key, bytes.subarray(1, 1 + nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(context, "utf8"));
  decipher.setAuthTag(bytes.subarray(1 + nonceBytes, start));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(start)), decipher.final()]);
  } catch (cause) {
    throw unreadable(context, "it was changed, or sealed with another key", cause);
  }
}

function unreadable(context: string, reason: string, cause?: unknown): AppError {
  return new AppError("internal", `cannot open the sealed ${context}: ${reason}`, { cause });
}
