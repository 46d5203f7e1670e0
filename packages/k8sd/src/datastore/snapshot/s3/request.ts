import { createHash } from "node:crypto";
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AppError, errorText } from "../../../lib/app-error.ts";
import { sleep } from "../../../lib/wait.ts";
import { encodedPath, encodedQuery, type S3Credentials, type S3Request, signed } from "./sign.ts";
import { textOf } from "./xml.ts";

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

export interface S3Deps {
  readonly now: () => number;
  /** Milliseconds before each further attempt at what failed for a moment. */
  readonly pauses?: readonly number[];
  /** Nobody answers later. A large object is longer on its way, but bytes flow meanwhile. */
  readonly silentMs?: number;
  /** Up to this a file goes in one request, and one that is larger in parts of it. */
  readonly partBytes?: number;
}

export interface S3Call extends Pick<S3Request, "method"> {
  /** What it is for, as the end of "cannot …". */
  readonly what: string;
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Each attempt reads it anew. */
  readonly body?: { readonly bytes: number; readonly hash: string; stream(): NodeJS.ReadableStream };
  readonly maxBytes?: number;
}

export interface S3Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly content: Buffer;
}

export interface S3Caller {
  /** Again and again while it fails for a moment, as often as there are pauses. */
  call(asked: S3Call, signal: AbortSignal): Promise<S3Answer>;
  /** Once; `use` gets the content as it comes. An error that is retryable is one of a moment. */
  stream(
    asked: S3Call,
    signal: AbortSignal,
    use: (content: Readable, answer: Omit<S3Answer, "content">) => Promise<void>,
  ): Promise<void>;
  /** Waits before the next attempt; throws the error when it is none of a moment, or was the last one. */
  pause(error: unknown, attempt: number, signal: AbortSignal): Promise<void>;
}

/** A store that restarts is back within them; half a minute is what somebody waits for. */
const defaultPauses = [500, 1_000, 2_000, 4_000, 8_000];
const defaultSilentMs = 60_000;
const maxAnswerBytes = 4 * 1024 * 1024;
/** Whatever the status that comes with them. */
const momentary = ["SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted"];

export function createS3Caller(options: S3Options, deps: S3Deps): S3Caller {
  const { now, pauses = defaultPauses, silentMs = defaultSilentMs } = deps;
  const url = new URL(options.url);

  async function stream(...[asked, signal, use]: Parameters<S3Caller["stream"]>): Promise<void> {
    try {
      const answer = await send(asked, signal);
      const { statusCode: status = 0, headers } = answer;
      if (status < 200 || status >= 300) throw refused(asked, status, (await contentOf(answer)).toString("utf8"));
      await use(answer, { status, headers });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AppError) throw error;
      throw unreachable(asked, error);
    }
  }

  function unreachable({ what }: S3Call, cause: unknown): AppError {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (/^E(NOSPC|DQUOT|IO|ROFS|FBIG|ACCES)$/.test(code)) {
      return new AppError("conflict", `cannot ${what}: ${errorText(cause)}`, {
        cause,
        remedy: "Make room on this node's disk.",
      });
    }
    // A wrong name and a wrong certificate stay wrong.
    const lasting = code === "ENOTFOUND" || /CERT|^ERR_TLS|^ERR_SSL|EPROTO/.test(code);
    return new AppError("unavailable", `cannot ${what}: ${url.origin} does not answer: ${errorText(cause)}`, {
      cause,
      retryable: !lasting,
      remedy: "Check the address of the store, and that this node reaches it.",
    });
  }

  function send(asked: S3Call, signal: AbortSignal): Promise<IncomingMessage> {
    const { method, key, query = {}, headers = {}, body } = asked;
    const path = `/${options.bucket}${key === undefined ? "" : `/${key}`}`;
    const bodyHash = body?.hash ?? sha256("");
    const request: S3Request = { method, host: url.host, path, query, headers, bodyHash };
    const search = encodedQuery(query);
    const length = body === undefined ? {} : { "content-length": String(body.bytes) };
    const make = url.protocol === "https:" ? requestHttps : requestHttp;
    const outgoing = make({
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port || (url.protocol === "https:" ? 443 : 80),
      method,
      path: encodedPath(path) + (search === "" ? "" : `?${search}`),
      headers: { ...signed(request, options.credentials, options.region, new Date(now())), ...length },
      signal,
      timeout: silentMs,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error(`silent for ${silentMs / 1000} s`)));
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve).once("error", reject);
    });
    // Also one that comes after the answer has a listener.
    outgoing.on("error", () => {});
    if (body === undefined) outgoing.end();
    else {
      // One that refuses may answer before all is sent.
      pipeline(body.stream(), outgoing).catch((error: unknown) => outgoing.destroy(error as Error));
    }
    return answered;
  }

  async function pause(error: unknown, attempt: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const wait = pauses[attempt];
    if (wait === undefined || !(error instanceof AppError && error.retryable)) throw error;
    await sleep(wait, signal);
  }

  return {
    stream,
    pause,
    call: async (asked, signal) => {
      for (let attempt = 0; ; attempt++) {
        try {
          const answer: { value?: S3Answer } = {};
          await stream(asked, signal, async (incoming, head) => {
            answer.value = { ...head, content: await contentOf(incoming, asked.maxBytes) };
          });
          return answer.value as S3Answer;
        } catch (error) {
          await pause(error, attempt, signal);
        }
      }
    },
  };
}

/** What a store that does not do it says, and what to do about it. */
export function refused({ what, key }: Pick<S3Call, "what" | "key">, status: number, body: string): AppError {
  const code = textOf(body, "Code") ?? `status ${status}`;
  const message = textOf(body, "Message");
  const text = `cannot ${what}: the store says ${code}${message === undefined ? "" : `: ${message}`}`;
  // Those that lack something have no word for it.
  if (status === 501) return new AppError("invalid", text, { remedy: "Use a store that has it." });
  if (momentary.includes(code) || status >= 500 || status === 429 || status === 408) {
    return new AppError("unavailable", text, { remedy: "Try again when the store is well." });
  }
  if (status === 403 || status === 401) {
    return new AppError("forbidden", text, { remedy: "Check the access key, its rights, and this node's clock." });
  }
  if (status === 404) {
    const bucket = key === undefined || code === "NoSuchBucket";
    const remedy = bucket ? "Check the name of the bucket." : "Look what there is with 'k8s snapshot list'.";
    return new AppError("not-found", text, { remedy });
  }
  return new AppError("invalid", text);
}

async function contentOf(answer: AsyncIterable<Buffer>, maxBytes = maxAnswerBytes): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer) {
    parts.push(part);
    size += part.length;
    if (size > maxBytes) throw new Error(`it answers with more than ${maxBytes} bytes`);
  }
  return Buffer.concat(parts);
}

export function sha256(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}
