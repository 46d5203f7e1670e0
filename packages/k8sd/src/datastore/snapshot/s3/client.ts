import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AppError, errorText } from "../../../lib/app-error.ts";
import { encodedPath, encodedQuery, type S3Credentials, type S3Request, signed } from "./sign.ts";

export interface S3Options {
  /** https://HOST[:PORT]; buckets are the first part of the path. */
  readonly url: string;
  readonly bucket: string;
  /** Before the name of each object: "" or with a slash at its end. */
  readonly prefix: string;
  readonly region: string;
  readonly credentials: S3Credentials;
  /** PEM; absent: what the system trusts. */
  readonly ca?: string;
}

export interface S3Object {
  /** Without the prefix. */
  readonly name: string;
  readonly bytes: number;
}

/** Objects below one prefix of a bucket. Names hold no slash. */
export interface S3Store {
  putFile(name: string, path: string, signal: AbortSignal): Promise<void>;
  put(name: string, content: string, signal: AbortSignal): Promise<void>;
  /** The beginning of an object. */
  head(name: string, bytes: number, signal: AbortSignal): Promise<Buffer>;
  /** One that is not there is no error. */
  remove(name: string, signal: AbortSignal): Promise<void>;
  list(signal: AbortSignal): Promise<readonly S3Object[]>;
}

/** Nobody answers later; a large object is longer on its way only while bytes flow. */
const silentMs = 60_000;
const maxAnswerBytes = 4 * 1024 * 1024;
/** Of one upload in one request. */
const maxObjectBytes = 5 * 1024 ** 3;

interface Call extends Pick<S3Request, "method"> {
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly bodyHash?: string;
  readonly body?: { readonly bytes: number; stream(): NodeJS.ReadableStream };
  readonly maxBytes?: number;
}

export function createS3Store(options: S3Options, now: () => number): S3Store {
  const url = new URL(options.url);
  const keyOf = (name: string): string => options.prefix + name;

  async function call(what: string, asked: Call, signal: AbortSignal): Promise<Buffer> {
    const request: S3Request = {
      method: asked.method,
      host: url.host,
      path: `/${options.bucket}${asked.key === undefined ? "" : `/${asked.key}`}`,
      query: asked.query ?? {},
      headers: asked.headers ?? {},
      bodyHash: asked.bodyHash ?? sha256(""),
    };
    try {
      const answer = await send(request, asked, signal);
      const content = await contentOf(answer, asked.maxBytes ?? maxAnswerBytes);
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) return content;
      throw refused(what, status, content.toString("utf8"));
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AppError) throw error;
      throw new AppError("unavailable", `cannot ${what}: ${url.origin} does not answer: ${errorText(error)}`, {
        cause: error,
        remedy: "Check the address of the store, and that this node reaches it.",
      });
    }
  }

  async function send(request: S3Request, { body }: Call, signal: AbortSignal): Promise<IncomingMessage> {
    const headers = signed(request, options.credentials, options.region, new Date(now()));
    const query = encodedQuery(request.query);
    const length = body === undefined ? {} : { "content-length": String(body.bytes) };
    const make = url.protocol === "https:" ? requestHttps : requestHttp;
    const outgoing = make({
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port || (url.protocol === "https:" ? 443 : 80),
      method: request.method,
      path: encodedPath(request.path) + (query === "" ? "" : `?${query}`),
      headers: { ...headers, ...length },
      signal,
      timeout: silentMs,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error(`silent for ${silentMs / 1000} s`)));
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve).once("error", reject);
    });
    if (body === undefined) outgoing.end();
    else {
      // One that refuses may answer before all is sent.
      pipeline(body.stream(), outgoing).catch((error: unknown) => outgoing.destroy(error as Error));
    }
    return answered;
  }

  return {
    putFile: async (name, path, signal) => {
      const { size } = await stat(path);
      if (size > maxObjectBytes) {
        throw new AppError(
          "conflict",
          "cannot upload the snapshot: it is larger than 5 GiB, which stores take at once",
          {
            remedy: "Save it to a directory.",
          },
        );
      }
      const hash = createHash("sha256");
      await pipeline(createReadStream(path), hash, { signal });
      const body = { bytes: size, stream: () => createReadStream(path) };
      await call(
        "upload the snapshot",
        { method: "PUT", key: keyOf(name), bodyHash: hash.digest("hex"), body },
        signal,
      );
    },
    put: async (name, content, signal) => {
      const bytes = Buffer.from(content, "utf8");
      const body = { bytes: bytes.length, stream: () => readableOf(bytes) };
      await call("write to the store", { method: "PUT", key: keyOf(name), bodyHash: sha256(bytes), body }, signal);
    },
    head: (name, bytes, signal) =>
      call(
        "read from the store",
        { method: "GET", key: keyOf(name), headers: { range: `bytes=0-${bytes - 1}` } },
        signal,
      ),
    remove: async (name, signal) => {
      await call("remove from the store", { method: "DELETE", key: keyOf(name) }, signal);
    },
    list: async (signal) => {
      const found: S3Object[] = [];
      for (let token: string | undefined = ""; token !== undefined; ) {
        const query = {
          "list-type": "2",
          prefix: options.prefix,
          ...(token === "" ? {} : { "continuation-token": token }),
        };
        const page = await call("list the store", { method: "GET", query }, signal);
        const { objects, next } = parseList(page.toString("utf8"));
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

/** Of ListObjectsV2: names are ours, so what needs another escape than XML's own is none of them. */
export function parseList(xml: string): {
  readonly objects: readonly { readonly key: string; readonly bytes: number }[];
  readonly next: string | undefined;
} {
  const objects = [...xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)].map(([, entry = ""]) => ({
    key: unescaped(textOf(entry, "Key") ?? ""),
    bytes: Number(textOf(entry, "Size") ?? 0),
  }));
  const token = textOf(xml, "NextContinuationToken");
  return { objects, next: textOf(xml, "IsTruncated") === "true" && token ? unescaped(token) : undefined };
}

function textOf(xml: string, tag: string): string | undefined {
  return new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1];
}

function unescaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replaceAll(/&(\w+);/g, (whole, name: string) => entities[name] ?? whole);
}

function refused(what: string, status: number, body: string): AppError {
  const code = textOf(body, "Code") ?? `status ${status}`;
  const message = textOf(body, "Message");
  const text = `cannot ${what}: the store says ${code}${message === undefined ? "" : `: ${unescaped(message)}`}`;
  if (status === 403 || status === 401) {
    return new AppError("forbidden", text, { remedy: "Check the access key, its rights, and this node's clock." });
  }
  if (status === 404) return new AppError("not-found", text, { remedy: "Check the name of the bucket." });
  return new AppError(status >= 500 ? "unavailable" : "invalid", text);
}

async function contentOf(answer: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    parts.push(part);
    size += part.length;
    if (size > maxBytes) throw new Error(`it answers with more than ${maxBytes} bytes`);
  }
  return Buffer.concat(parts);
}

function readableOf(bytes: Buffer): NodeJS.ReadableStream {
  return Readable.from([bytes]);
}

function sha256(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}
