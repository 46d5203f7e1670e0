import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";

/**
 * Appends what comes to the file. What has come is in the file also where the rest does not come, so that a way that breaks
 * again and again brings it on each time.
 * @param tell gets the bytes of each piece that is written
 */
export async function appendTo(
  path: string,
  content: Readable,
  signal: AbortSignal,
  tell: (bytes: number) => void,
): Promise<void> {
  // Not waited for: what is not taken when the connection ends is gone.
  const opened = open(path, "a", 0o600);
  let written: Promise<unknown> = opened;
  const fail = (error: unknown): void => {
    content.destroy(error instanceof Error ? error : new Error(String(error)));
  };
  opened.catch(fail);
  content.on("data", (piece: Buffer) => {
    content.pause();
    written = opened.then(async (file) => {
      await file.appendFile(piece);
      tell(piece.length);
      content.resume();
    });
    written.catch(fail);
  });
  try {
    await finished(content, { signal });
  } finally {
    content.destroy();
    await written.finally(async () => (await opened).close());
  }
}
