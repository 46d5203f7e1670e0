import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { decryptFrames, encryptFrames, type ReadBytes } from "../../../../src/datastore/snapshot/frames.ts";

const key = randomBytes(32);

async function encrypted(parts: readonly Buffer[]): Promise<readonly Buffer[]> {
  return Readable.from(encryptFrames(asStream(parts), key)).toArray();
}

async function* asStream(parts: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* parts;
}

async function decrypted(bytes: Buffer): Promise<Buffer> {
  let at = 0;
  const read: ReadBytes = async (length) => {
    const part = bytes.subarray(at, at + length);
    at += part.length;
    return part;
  };
  return Buffer.concat(await Readable.from(decryptFrames(read, key)).toArray());
}

describe("encrypted frames", () => {
  test.each([0, 1, 262_144, 262_145, 1_000_000])("give back %i bytes", async (size) => {
    const plain = randomBytes(size);
    const parts = Array.from({ length: Math.ceil(size / 70_000) }, (_, index) =>
      plain.subarray(index * 70_000, (index + 1) * 70_000),
    );
    expect((await decrypted(Buffer.concat(await encrypted(parts)))).equals(plain)).toBe(true);
  });

  test("do not open without the last one, in another order, or twice", async () => {
    const frames = await encrypted([randomBytes(700_000)]);
    expect(frames.length).toBe(3);
    const [a, b, c] = frames as [Buffer, Buffer, Buffer];
    await expect(decrypted(Buffer.concat([a, b]))).rejects.toThrow("the file ends too early");
    await expect(decrypted(Buffer.concat([b, a, c]))).rejects.toThrow("it was damaged or changed");
    await expect(decrypted(Buffer.concat([a, a, b, c]))).rejects.toThrow("it was damaged or changed");
    await expect(decrypted(Buffer.concat([a, c]))).rejects.toThrow("it was damaged or changed");
  });

  test("do not open when the second to last one is called the last", async () => {
    const [a, b] = (await encrypted([randomBytes(400_000)])) as [Buffer, Buffer];
    const ending = Buffer.from(a);
    ending.writeUInt8((a[0] ?? 0) | 0x80, 0);
    await expect(decrypted(Buffer.concat([ending, b]))).rejects.toThrow("it was damaged or changed");
  });
});
