import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { basename } from "node:path";
import { AppError, errorText } from "@k8sd/k8sd/lib/app-error.ts";

export interface DownloadOptions {
  /** Until the first byte of an answer: a host that cannot be reached must cost seconds, not minutes. */
  readonly answerMs: number;
  /** Between two pieces of a body; a slow line is fine, a dead one is not. */
  readonly stallMs: number;
}

const defaultDownloadOptions: DownloadOptions = { answerMs: 5_000, stallMs: 20_000 };

interface Download {
  readonly url: string;
  /** SHA-256 in hex. */
  readonly sha256: string;
  readonly destination: string;
  readonly signal: AbortSignal;
}

export interface Downloader {
  /** A small text; more than 1 MiB is an error. */
  text(url: string, signal: AbortSignal): Promise<string>;
  /** Downloads a file and checks it; the destination holds a good file or is gone. */
  file(download: Download): Promise<void>;
}

const maximumTextBytes = 1024 * 1024;
const unreachableCodes = new Set(["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH"]);

/** Remembers hosts that cannot be reached, so that each is tried once and not once per program. */
export function createDownloader(options: DownloadOptions = defaultDownloadOptions): Downloader {
  const unreachable = new Map<string, AppError>();

  async function* body(url: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const host = new URL(url).host;
    const known = unreachable.get(host);
    if (known !== undefined) throw known;
    const stalled = new AbortController();
    let answered = false;
    const stop = (): void => stalled.abort();
    let timer = setTimeout(stop, options.answerMs);
    try {
      const response = await fetch(url, { signal: AbortSignal.any([signal, stalled.signal]) });
      answered = true;
      if (response.status !== 200 || response.body === null) {
        throw new AppError("not-found", `cannot download ${url}: the server answered ${response.status}`);
      }
      for await (const piece of response.body) {
        clearTimeout(timer);
        timer = setTimeout(stop, options.stallMs);
        yield piece;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AppError) throw error;
      const failure = describe(url, error, stalled.signal.aborted, answered);
      if (!answered && (stalled.signal.aborted || unreachableCodes.has(codeOf(error)))) unreachable.set(host, failure);
      throw failure;
    } finally {
      clearTimeout(timer);
    }
  }

  function describe(url: string, error: unknown, stalled: boolean, answered: boolean): AppError {
    const host = new URL(url).host;
    if (stalled) {
      const after = answered ? `no data for ${options.stallMs / 1000} s` : `no answer in ${options.answerMs / 1000} s`;
      return new AppError("timeout", `cannot download from ${host}: ${after}`);
    }
    const code = codeOf(error);
    if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
      return new AppError("unavailable", `cannot resolve ${host}`);
    }
    return new AppError("unavailable", `cannot download ${url}: ${errorText(error)}`, { cause: error });
  }

  return {
    async text(url, signal) {
      const pieces: Uint8Array[] = [];
      let size = 0;
      for await (const piece of body(url, signal)) {
        size += piece.length;
        if (size > maximumTextBytes) throw new AppError("invalid", `cannot use ${url}: more than 1 MiB of checksums`);
        pieces.push(piece);
      }
      return Buffer.concat(pieces).toString("utf8");
    },
    async file(download) {
      const hash = createHash("sha256");
      let good = false;
      const handle = await open(download.destination, "w");
      try {
        for await (const piece of body(download.url, download.signal)) {
          hash.update(piece);
          await handle.writeFile(piece);
        }
        const found = hash.digest("hex");
        if (found !== download.sha256) {
          throw new AppError(
            "invalid",
            `cannot use ${download.url}: its SHA-256 is ${found}, published is ${download.sha256}`,
          );
        }
        good = true;
      } finally {
        await handle.close();
        if (!good) await rm(download.destination, { force: true });
      }
    },
  };
}

/** Finds a file's SHA-256 in a published text: the bare sum, or lines of `<hex>  <file name>`. */
export function findChecksum(published: string, url: string): string {
  const wanted = basename(new URL(url).pathname);
  const lines = published
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  const named = lines.find(([, name]) => name !== undefined && basename(name.replace(/^\*/, "")) === wanted);
  const bare = lines.length === 1 && lines[0]?.length === 1 ? lines[0] : undefined;
  const sum = (named ?? bare)?.[0]?.toLowerCase();
  if (sum === undefined || !/^[0-9a-f]{64}$/.test(sum)) {
    throw new AppError("invalid", `cannot check ${url}: its published checksum file does not hold its SHA-256`);
  }
  return sum;
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  return codeOf(error.cause);
}
