import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";

/** What kube-apiserver answered with a status of its own; anything else that fails leaves the outcome open. */
export interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

/** Plain calls over kept connections. Apart from the client of the product on purpose: it must not hide what it lost. */
export interface KubeApi extends Disposable {
  call<T>(method: "GET" | "POST" | "PATCH" | "DELETE", path: string, options?: CallOptions): Promise<Answer<T>>;
  /** A watch, line by line, until the server or the signal ends it. Throws when it is refused or breaks. */
  lines(path: string, accept: string, signal: AbortSignal): AsyncGenerator<string, void, undefined>;
}

interface CallOptions {
  readonly body?: unknown;
  readonly accept?: string;
}

/** Only names and versions of objects, so that a hundred watchers fit into one process. */
export const namesOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
export const listOfNamesOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/** Longer than kube-apiserver waits for its datastore. */
const callMs = 60_000;

/** @param ca the certificate that the server made for itself */
export function createKubeApi(server: string, ca: Buffer, token: string): KubeApi {
  const agent = new Agent({ keepAlive: true, ca });

  function open(method: string, path: string, options: CallOptions, signal: AbortSignal): Promise<IncomingMessage> {
    const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const outgoing = request(new URL(path, server), {
      agent,
      method,
      signal,
      headers: {
        accept: options.accept ?? "application/json",
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": type, "content-length": body.length }),
      },
    });
    outgoing.on("error", reject);
    outgoing.on("response", resolve);
    outgoing.end(body);
    return promise;
  }

  return {
    async call<T>(method: string, path: string, options: CallOptions = {}) {
      const answer = await open(method, path, options, AbortSignal.timeout(callMs));
      const chunks: Buffer[] = [];
      for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
      return { status: answer.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) as T };
    },
    async *lines(path, accept, signal) {
      const answer = await open("GET", path, { accept }, signal);
      try {
        if (answer.statusCode !== 200) {
          const text = (await answer.toArray()).join("");
          yield `{"type":"ERROR","object":${JSON.stringify({ code: answer.statusCode, message: text.slice(0, 500) })}}`;
          return;
        }
        let rest = "";
        for await (const chunk of answer.setEncoding("utf8") as AsyncIterable<string>) {
          const lines = (rest + chunk).split("\n");
          rest = lines.pop() ?? "";
          yield* lines;
        }
      } finally {
        answer.destroy();
      }
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}
