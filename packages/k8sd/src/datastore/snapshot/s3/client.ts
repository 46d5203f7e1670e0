import { truncate } from "node:fs/promises";
import { AppError } from "../../../lib/app-error.ts";
import { sizeIfThere } from "../../../lib/read-file.ts";
import { appendTo } from "./append.ts";
import { createS3Caller, type S3Deps, type S3Options } from "./request.ts";
import { bytesHeader, createUploads, type TransferProgress, textBody, totalOf } from "./upload.ts";
import { parseList } from "./xml.ts";

export interface S3Object {
  /** Without the prefix. */
  readonly name: string;
  readonly bytes: number;
}

/** Objects below one prefix of a bucket. Names hold no slash. What fails for a moment is tried again. */
export interface S3Store {
  /** All of the file is there in the end, or nothing. */
  putFile(name: string, path: string, signal: AbortSignal, progress?: TransferProgress): Promise<void>;
  /** Goes on after what the file has already. What there is in the end may be of two objects: look at its checksum. */
  getFile(name: string, path: string, signal: AbortSignal, progress?: TransferProgress): Promise<void>;
  put(name: string, content: string, signal: AbortSignal): Promise<void>;
  /** The beginning of an object, and how long it was when it was sent, if the store knows. */
  head(name: string, bytes: number, signal: AbortSignal): Promise<{ readonly content: Buffer; readonly sent?: number }>;
  size(name: string, signal: AbortSignal): Promise<number>;
  /** One that is not there is no error. */
  remove(name: string, signal: AbortSignal): Promise<void>;
  /** With what was begun of it and not ended. */
  discard(name: string, signal: AbortSignal): Promise<void>;
  list(signal: AbortSignal): Promise<readonly S3Object[]>;
}

const read = "read from the store";
const fetching = "fetch the snapshot";

export function createS3Store(options: S3Options, deps: S3Deps): S3Store {
  const caller = createS3Caller(options, deps);
  const { call } = caller;
  const uploads = createUploads(caller, deps);
  const keyOf = (name: string): string => options.prefix + name;

  async function size(name: string, signal: AbortSignal): Promise<number> {
    const headers = { range: "bytes=0-0" };
    const answer = await call({ what: read, method: "GET", key: keyOf(name), headers }, signal);
    const total = totalOf(answer.headers["content-range"]);
    if (total !== undefined) return total;
    throw new AppError("conflict", `cannot ${read}: it gives no parts of what it holds`, {
      remedy: "Fetch the file with another client.",
    });
  }

  async function remove(name: string, signal: AbortSignal): Promise<void> {
    await call({ what: "remove from the store", method: "DELETE", key: keyOf(name) }, signal);
  }

  /** One request for all that is missing. */
  async function append(
    name: string,
    path: string,
    from: number,
    total: number,
    signal: AbortSignal,
    tell: TransferProgress,
  ) {
    const headers = { range: `bytes=${from}-` };
    await caller.stream(
      { what: fetching, method: "GET", key: keyOf(name), headers },
      signal,
      async (content, answer) => {
        if (answer.status !== 206 || totalOf(answer.headers["content-range"]) !== total) {
          throw new AppError("conflict", `cannot ${fetching}: the store has another one under its name now`, {
            remedy: "Fetch it again.",
          });
        }
        let done = from;
        await appendTo(path, content, signal, (bytes) => {
          done += bytes;
          tell(done, total);
        });
      },
    );
  }

  return {
    size,
    putFile: (name, path, signal, progress) => uploads.file(keyOf(name), path, signal, progress),
    getFile: async (name, path, signal, progress = () => {}) => {
      const total = await size(name, signal);
      let have = await lengthOf(path);
      if (have > total) {
        await truncate(path, 0);
        have = 0;
      }
      for (let attempt = 0; have < total; ) {
        try {
          await append(name, path, have, total, signal, progress);
          have = await lengthOf(path);
        } catch (error) {
          // What brought something on does not count: a way that breaks often is slow, not broken.
          const now = await lengthOf(path);
          if (now > have) attempt = 0;
          have = now;
          await caller.pause(error, attempt, signal);
          attempt += 1;
        }
      }
      progress(total, total);
    },
    put: async (name, content, signal) => {
      const body = textBody(content);
      await call({ what: "write to the store", method: "PUT", key: keyOf(name), body }, signal);
    },
    head: async (name, bytes, signal) => {
      const headers = { range: `bytes=0-${bytes - 1}` };
      const answer = await call({ what: read, method: "GET", key: keyOf(name), headers }, signal);
      const sent = answer.headers[bytesHeader];
      return { content: answer.content, ...(typeof sent === "string" ? { sent: Number(sent) } : {}) };
    },
    remove,
    discard: async (name, signal) => {
      // First what could still become an object.
      await uploads.abandon(keyOf(name), signal);
      await remove(name, signal);
    },
    list: async (signal) => {
      const found: S3Object[] = [];
      for (let token: string | undefined = ""; token !== undefined; ) {
        const query = {
          "list-type": "2",
          prefix: options.prefix,
          ...(token === "" ? {} : { "continuation-token": token }),
        };
        const page = await call({ what: "list the store", method: "GET", query }, signal);
        const { objects, next } = parseList(page.content.toString("utf8"));
        for (const { key, bytes } of objects) {
          const name = key.slice(options.prefix.length);
          if (!name.includes("/")) found.push({ name, bytes });
        }
        token = next;
      }
      return found;
    },
  };
}

async function lengthOf(path: string): Promise<number> {
  return (await sizeIfThere(path)) ?? 0;
}
