import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AppError, isKind } from "../../../lib/app-error.ts";
import { refused, type S3Call, type S3Caller, sha256 } from "./request.ts";
import { escaped, parseUploads, textOf } from "./xml.ts";

/** What fails for a moment costs no more than this. */
const defaultPartBytes = 16 * 1024 ** 2;
/** Stores take 10,000 parts, of 5 GiB at most, and objects of 5 TiB. */
const mostParts = 10_000;
const mostBytes = 5 * 1024 ** 4;
/** Whoever gives up an upload has no time left; the store is told all the same. */
const abandonMs = 15_000;
/** Beside an object: how long it was when it was sent. */
export const bytesHeader = "x-amz-meta-bytes";

export type TransferProgress = (done: number, of: number) => void;

export interface Uploads {
  /** All of it is there in the end, or nothing. */
  file(key: string, path: string, signal: AbortSignal, progress?: TransferProgress): Promise<void>;
  /** Ends all that was begun for this key and not ended. */
  abandon(key: string, signal: AbortSignal): Promise<void>;
}

interface Part {
  readonly number: number;
  readonly from: number;
  readonly bytes: number;
}

const what = "upload the snapshot";

export function createUploads(
  { call, pause }: S3Caller,
  { partBytes = defaultPartBytes }: { readonly partBytes?: number },
): Uploads {
  async function end(key: string, uploadId: string, signal: AbortSignal): Promise<void> {
    await call({ what: "end an upload", method: "DELETE", key, query: { uploadId } }, signal).catch(
      (error: unknown) => {
        // It is ended already.
        if (!isKind(error, "not-found")) throw error;
      },
    );
  }

  async function inParts(
    { key, path, size }: { readonly key: string; readonly path: string; readonly size: number },
    signal: AbortSignal,
    progress: TransferProgress,
  ): Promise<void> {
    const headers = { [bytesHeader]: String(size) };
    const begun = await call({ what, method: "POST", key, query: { uploads: "" }, headers }, signal);
    const uploadId = textOf(begun.content.toString("utf8"), "UploadId");
    if (uploadId === undefined) throw new AppError("internal", `cannot ${what}: the store began none`);
    try {
      const tags: string[] = [];
      for (const part of partsOf(size, partBytes)) {
        const { number, from, bytes } = part;
        const query = { partNumber: String(number), uploadId };
        const body = await bodyOf(path, from, bytes, signal);
        const { headers: answered } = await call({ what, method: "PUT", key, query, body }, signal);
        tags.push(answered.etag ?? "");
        progress(from + bytes, size);
      }
      await complete(key, uploadId, { size, tags }, signal);
    } catch (error) {
      await end(key, uploadId, AbortSignal.timeout(abandonMs)).catch(() => {
        // The reason that it failed for says more; whoever takes the save back tries it again.
      });
      signal.throwIfAborted();
      throw error;
    }
  }

  async function complete(
    key: string,
    uploadId: string,
    { size, tags }: { readonly size: number; readonly tags: readonly string[] },
    signal: AbortSignal,
  ): Promise<void> {
    const parts = tags.map(
      (tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escaped(tag)}</ETag></Part>`,
    );
    const text = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
    const asked: S3Call = { what, method: "POST", key, query: { uploadId }, body: textBody(text) };
    for (let attempt = 0; ; attempt++) {
      try {
        const { content } = await call(asked, signal);
        const answer = content.toString("utf8");
        // It is answered before it is done, so an error may come with a status that says otherwise.
        if (answer.includes("<Error>")) throw refused(asked, 500, answer);
        return;
      } catch (error) {
        // An earlier attempt did it, and only its answer was lost.
        const gone = isKind(error, "not-found");
        if (gone && (await sizeOf(key, signal)) === size) return;
        await pause(error, attempt, signal);
      }
    }
  }

  async function sizeOf(key: string, signal: AbortSignal): Promise<number | undefined> {
    try {
      const headers = { range: "bytes=0-0" };
      const answer = await call({ what, method: "GET", key, headers }, signal);
      return totalOf(answer.headers["content-range"]);
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  return {
    file: async (key, path, signal, progress = () => {}) => {
      const { size } = await stat(path);
      if (size > mostBytes) {
        throw new AppError("conflict", `cannot ${what}: it is larger than 5 TiB, which stores do not take`, {
          remedy: "Save it to a directory.",
        });
      }
      if (size > partBytes) return inParts({ key, path, size }, signal, progress);
      const headers = { [bytesHeader]: String(size) };
      await call({ what, method: "PUT", key, headers, body: await bodyOf(path, 0, size, signal) }, signal);
      progress(size, size);
    },

    abandon: async (key, signal) => {
      const asked = { what: "look for uploads", method: "GET", query: { uploads: "", prefix: key } } as const;
      const { content } = await call(asked, signal);
      for (const upload of parseUploads(content.toString("utf8"))) {
        if (upload.key === key) await end(key, upload.id, signal);
      }
    },
  };
}

/** Equal ones but for the last. */
export function partsOf(size: number, least: number): readonly Part[] {
  const each = Math.max(1, Math.ceil(size / mostParts / least)) * least;
  return Array.from({ length: Math.ceil(size / each) }, (_, index) => ({
    number: index + 1,
    from: index * each,
    bytes: Math.min(each, size - index * each),
  }));
}

/** Of a Content-Range: how long all of it is. */
export function totalOf(contentRange: string | undefined): number | undefined {
  const [, total] = /\/(\d+)$/.exec(contentRange ?? "") ?? [];
  return total === undefined ? undefined : Number(total);
}

async function bodyOf(path: string, from: number, bytes: number, signal: AbortSignal) {
  const range = { start: from, end: from + bytes - 1 };
  const stream = () => (bytes === 0 ? Readable.from([]) : createReadStream(path, range));
  const hash = createHash("sha256");
  await pipeline(stream(), hash, { signal });
  return { bytes, hash: hash.digest("hex"), stream };
}

export function textBody(text: string) {
  const bytes = Buffer.from(text, "utf8");
  return { bytes: bytes.length, hash: sha256(bytes), stream: () => Readable.from([bytes]) };
}
