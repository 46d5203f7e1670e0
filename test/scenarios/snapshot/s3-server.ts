import { createHash, createHmac, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/**
 * A stand-in for an S3-compatible store, in memory: it takes what is signed (AWS Signature Version 4) with its only key, and
 * answers as far as the tests ask. It uses nothing of what it tests, and runs by itself in a test host.
 */
export interface S3Server {
  readonly server: Server;
  readonly objects: Map<string, Buffer>;
  /** How long each object was when it was sent, as its sender told. */
  readonly sent: Map<string, string>;
  /** Parts of uploads that were begun and not ended, by id. */
  readonly uploads: Map<string, Upload>;
  /** Decides for each request, before it is read, what goes wrong with it. */
  fault: (request: IncomingMessage) => Fault | undefined;
  readonly requests: string[];
}

interface Upload {
  readonly key: string;
  readonly sent: string;
  readonly parts: Map<number, Buffer>;
}

export type Fault =
  /** It answers with this status, and with this code. */
  | { readonly status: number; readonly code: string }
  /** It ends the connection when it has read something. */
  | "cut"
  /** It does what it is asked for, and its answer is lost. */
  | "lost"
  /** It answers with the beginning of what it has. */
  | "half"
  /** It says nothing. */
  | "silent"
  /** It gives all that it has, whatever part it is asked for. */
  | "whole";

export const accessKeyId = "AKIDTEST";
export const secretAccessKey = "a/secret+key";
const pageSize = 2;

export function createS3Server(bucket: string): S3Server {
  const objects = new Map<string, Buffer>();
  const sent = new Map<string, string>();
  const uploads = new Map<string, Upload>();
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => fail(response, 500, "InternalError", String(error)));
  });
  const started: S3Server = { server, objects, sent, uploads, fault: () => undefined, requests: [] };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fault = started.fault(request);
    started.requests.push(`${request.method} ${request.url}`);
    if (fault === "silent") return;
    if (fault === "cut")
      return void request.once("data", () => request.socket.destroy()).once("end", () => request.socket.destroy());
    const body = await read(request);
    if (typeof fault === "object") return fail(response, fault.status, fault.code, "It goes wrong.");
    const problem = problemOf(request, body);
    if (problem !== undefined) return fail(response, 403, problem, "The request is refused.");
    const url = new URL(request.url ?? "/", "http://localhost");
    const [, first = "", ...rest] = url.pathname.split("/").map(decodeURIComponent);
    if (first !== bucket) return fail(response, 404, "NoSuchBucket", "There is no such bucket.");
    const key = rest.join("/");
    const query = url.searchParams;
    if (fault === "lost") response.end = () => response.destroy();
    if (query.has("uploads") || query.has("uploadId")) return answerUpload(request, response, { key, query, body });
    if (request.method === "PUT") {
      objects.set(key, body);
      sent.set(key, String(request.headers["x-amz-meta-bytes"] ?? ""));
      response.end();
    } else if (request.method === "DELETE") {
      objects.delete(key);
      response.writeHead(204).end();
    } else if (key === "") {
      response.end(list(query));
    } else {
      const found = objects.get(key);
      if (found === undefined) return fail(response, 404, "NoSuchKey", "There is no such object.");
      const meta = sent.get(key);
      const headers = meta ? { "x-amz-meta-bytes": meta } : {};
      const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
      if (from === undefined || fault === "whole") {
        response.writeHead(200, headers).end(found);
        return;
      }
      const [first, last] = [Number(from), Math.min(to ? Number(to) : found.length - 1, found.length - 1)];
      if (first >= found.length) return fail(response, 416, "InvalidRange", "There is no such part.");
      const part = found.subarray(first, last + 1);
      const range = { "content-range": `bytes ${first}-${last}/${found.length}`, "content-length": part.length };
      response.writeHead(206, { ...headers, ...range });
      if (fault !== "half") response.end(part);
      else response.write(part.subarray(0, Math.ceil(part.length / 2)), () => request.socket.destroySoon());
    }
  }

  function answerUpload(
    { method, headers }: IncomingMessage,
    response: ServerResponse,
    { key, query, body }: { readonly key: string; readonly query: URLSearchParams; readonly body: Buffer },
  ): void {
    if (method === "GET") {
      const begun = [...uploads].filter(([, upload]) => upload.key.startsWith(query.get("prefix") ?? ""));
      const entries = begun.map(
        ([id, upload]) => `<Upload><Key>${upload.key}</Key><UploadId>${id}</UploadId></Upload>`,
      );
      response.end(`<ListMultipartUploadsResult>${entries.join("")}</ListMultipartUploadsResult>`);
      return;
    }
    if (query.has("uploads")) {
      const id = randomUUID();
      uploads.set(id, { key, sent: String(headers["x-amz-meta-bytes"] ?? ""), parts: new Map() });
      response.end(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
      return;
    }
    const id = query.get("uploadId") ?? "";
    const upload = uploads.get(id);
    if (upload === undefined || upload.key !== key) {
      fail(response, 404, "NoSuchUpload", "There is no such upload.");
      return;
    }
    if (method === "PUT") {
      upload.parts.set(Number(query.get("partNumber")), body);
      response.writeHead(200, { etag: tagOf(body) }).end();
    } else if (method === "DELETE") {
      uploads.delete(id);
      response.writeHead(204).end();
    } else {
      const wanted = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>&quot;(\w+)&quot;<\/ETag>/g)];
      const parts = wanted.map(([, number, tag]) => {
        const part = upload.parts.get(Number(number));
        return part !== undefined && tagOf(part) === `"${tag}"` ? part : undefined;
      });
      if (parts.length === 0 || parts.includes(undefined)) {
        fail(response, 400, "InvalidPart", "A part is missing.");
        return;
      }
      objects.set(key, Buffer.concat(parts as Buffer[]));
      sent.set(key, upload.sent);
      uploads.delete(id);
      response.end("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
    }
  }

  function list(query: URLSearchParams): string {
    const prefix = query.get("prefix") ?? "";
    const after = query.get("continuation-token") ?? "";
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, pageSize);
    const more = keys.length > page.length;
    const entries = page.map((key) => `<Contents><Key>${key}</Key><Size>${objects.get(key)?.length}</Size></Contents>`);
    const next = more ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "";
    return `<?xml version="1.0"?><ListBucketResult><IsTruncated>${more}</IsTruncated>${entries.join("")}${next}</ListBucketResult>`;
  }

  return started;
}

const tagOf = (body: Buffer): string => `"${createHash("md5").update(body).digest("hex")}"`;

async function read(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

function fail(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, { "content-type": "application/xml" });
  response.end(
    `<Error><Code>${code}</Code><Message>${message}</Message><RequestId>${randomUUID()}</RequestId></Error>`,
  );
}

function problemOf(request: IncomingMessage, body: Buffer): string | undefined {
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;
  const [, id, day = "", region = "", names = "", given] = pattern.exec(request.headers.authorization ?? "") ?? [];
  if (id === undefined) return "AccessDenied";
  if (id !== accessKeyId) return "InvalidAccessKeyId";
  const time = String(request.headers["x-amz-date"]);
  const sent = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (!(Math.abs(sent - Date.now()) < 15 * 60_000) || !time.startsWith(day)) return "RequestTimeTooSkewed";
  const hash = createHash("sha256").update(body).digest("hex");
  if (request.headers["x-amz-content-sha256"] !== hash) return "XAmzContentSHA256Mismatch";
  for (const needed of ["host", "x-amz-content-sha256", "x-amz-date"]) {
    if (!names.split(";").includes(needed)) return "AccessDenied";
  }
  const [path = "", query = ""] = (request.url ?? "").split("?");
  const headers = names.split(";").map((name) => `${name}:${String(request.headers[name]).trim()}\n`);
  const sorted = query.split("&").sort().join("&");
  const canonical = `${request.method}\n${path}\n${sorted}\n${headers.join("")}\n${names}\n${hash}`;
  const digest = createHash("sha256").update(canonical).digest("hex");
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();
  const key = hmac(hmac(hmac(hmac(`AWS4${secretAccessKey}`, day), region), "s3"), "aws4_request");
  const wanted = hmac(key, `AWS4-HMAC-SHA256\n${time}\n${day}/${region}/s3/aws4_request\n${digest}`).toString("hex");
  return wanted === given ? undefined : "SignatureDoesNotMatch";
}

const [, program, port, bucket, address = "127.0.0.1"] = process.argv;
if (program?.endsWith("s3-server.ts") && port !== undefined && bucket !== undefined) {
  createS3Server(bucket).server.listen(Number(port), address);
}
