import { Buffer } from "node:buffer";

/** A member of an archive. Owner is root, time is the epoch: the same members always give the same bytes. */
export type TarEntry =
  | { readonly kind: "directory"; readonly path: string; readonly mode: number }
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly content: Uint8Array }
  | { readonly kind: "link"; readonly path: string; readonly target: string };

const blockSize = 512;
const typeFlags = { file: "0", link: "2", directory: "5" } as const;

/** Writes a POSIX ustar archive. Members come in the given order. */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    blocks.push(header(entry));
    if (entry.kind !== "file") continue;
    blocks.push(Buffer.from(entry.content), Buffer.alloc(padding(entry.content.length)));
  }
  // Two empty blocks end an archive.
  blocks.push(Buffer.alloc(2 * blockSize));
  return Buffer.concat(blocks);
}

function padding(length: number): number {
  return (blockSize - (length % blockSize)) % blockSize;
}

function header(entry: TarEntry): Buffer {
  const path = entry.kind === "directory" ? `${entry.path}/` : entry.path;
  const block = Buffer.alloc(blockSize);
  text(block, 0, 100, path);
  octal(block, 100, 8, entry.kind === "link" ? 0o777 : entry.mode);
  octal(block, 108, 8, 0);
  octal(block, 116, 8, 0);
  octal(block, 124, 12, entry.kind === "file" ? entry.content.length : 0);
  octal(block, 136, 12, 0);
  // The checksum is counted with its own field as spaces.
  block.fill(" ", 148, 156);
  text(block, 156, 1, typeFlags[entry.kind]);
  if (entry.kind === "link") text(block, 157, 100, entry.target);
  text(block, 257, 6, "ustar");
  text(block, 263, 2, "00");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function text(block: Buffer, offset: number, size: number, value: string): void {
  if (Buffer.byteLength(value) > size) throw new RangeError(`cannot write ${value} into a tar header: too long`);
  block.write(value, offset, "utf8");
}

function octal(block: Buffer, offset: number, size: number, value: number): void {
  text(block, offset, size, `${value.toString(8).padStart(size - 1, "0")}\0`);
}
