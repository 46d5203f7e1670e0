import { copyFile, open, stat, truncate } from "node:fs/promises";

import { isMissingFile } from "../lib/app-error.ts";

/** Two files of this size per service at most. */
const maxLogBytes = 10 * 1024 * 1024;
const tailBytes = 256 * 1024;
const maxLineCharacters = 4096;

/** The last lines of a file, each cut where it becomes unreadable. */
export async function readTail(path: string, lines: number): Promise<readonly string[]> {
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    const start = Math.max(0, size - tailBytes);
    const buffer = Buffer.alloc(size - start);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    const all = buffer.toString("utf8", 0, bytesRead).split("\n");
    // The first piece is the end of a line whose start was not read.
    if (start > 0) all.shift();
    if (all.at(-1) === "") all.pop();
    return lines <= 0 ? [] : all.slice(-lines).map((line) => line.slice(0, maxLineCharacters));
  } catch (error) {
    if (isMissingFile(error)) return [];
    throw error;
  }
}

/** Moves a full log aside. Its writers keep their open file, so it is emptied and not replaced; they all append. */
export async function rotateLog(path: string, maxBytes = maxLogBytes): Promise<void> {
  try {
    if ((await stat(path)).size <= maxBytes) return;
    await copyFile(path, `${path}.1`);
    await truncate(path, 0);
  } catch (error) {
    if (!isMissingFile(error)) throw error;
  }
}
