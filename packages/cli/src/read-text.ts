import { createReadStream } from "node:fs";
import type { CliDeps } from "./deps.ts";

/** What the daemon accepts as a body, and far above any real configuration. */
const maxFileBytes = 4 * 1024 * 1024;

/** The content of a file, or of stdin for "-". */
export async function readText(path: string, deps: Pick<CliDeps, "stdin">): Promise<string> {
  const input = path === "-" ? deps.stdin() : createReadStream(path);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
    if (size > maxFileBytes) throw new Error(`the configuration is larger than ${maxFileBytes} bytes`);
  }
  return Buffer.concat(chunks).toString("utf8");
}
