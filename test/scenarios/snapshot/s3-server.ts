import { createHash, createHmac, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/**
 * A stand-in for an S3-compatible store, in memory: it takes what is signed (AWS Signature Version 4) with its only key, and
 * answers as far as the tests ask. It uses nothing of what it tests, and runs by itself in a test host.
 */
export interface S3Server {
  readonly server: Server;
  readonly objects: Map<string, Buffer>;
}

export const accessKeyId = "AKIDTEST";
export const secretAccessKey = "a/secret+key";
const pageSize = 2;

export function createS3Server(bucket: string): S3Server {
  const objects = new Map<string, Buffer>();
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => fail(response, 500, "InternalError", String(error)));
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await read(request);
    const problem = problemOf(request, body);
    if (problem !== undefined) return fail(response, 403, problem, "The request is refused.");
    const url = new URL(request.url ?? "/", "http://localhost");
    const [, first = "", ...rest] = url.pathname.split("/").map(decodeURIComponent);
    if (first !== bucket) return fail(response, 404, "NoSuchBucket", "There is no such bucket.");
    const key = rest.join("/");
    if (request.method === "PUT") {
      objects.set(key, body);
      response.end();
    } else if (request.method === "DELETE") {
      objects.delete(key);
      response.writeHead(204).end();
    } else if (key === "") {
      response.end(list(url.searchParams));
    } else {
      const found = objects.get(key);
      if (found === undefined) return fail(response, 404, "NoSuchKey", "There is no such object.");
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
      if (from === undefined || to === undefined) response.end(found);
      else response.writeHead(206).end(found.subarray(Number(from), Number(to) + 1));
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

  return { server, objects };
}

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

const [, program, port, bucket] = process.argv;
if (program?.endsWith("s3-server.ts") && port !== undefined && bucket !== undefined) {
  createS3Server(bucket).server.listen(Number(port), "127.0.0.1");
}
