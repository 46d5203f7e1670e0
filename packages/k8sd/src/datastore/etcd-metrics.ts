import { request } from "node:https";
import { AppError } from "../lib/app-error.ts";
import type { ClientTls } from "./channel.ts";

/** etcd's own are some hundred kilobytes. */
const mostBytes = 8 * 1024 * 1024;

/**
 * What an etcd tells Prometheus, of itself alone: its figures for its process and its Go runtime would pass for k8sd's. It tells
 * them where its clients are, to whoever has a client's certificate: with that one may do everything, so nobody else has it.
 */
export async function etcdMetrics(endpoint: string, tls: ClientTls, signal: AbortSignal): Promise<string> {
  const text = await get(new URL("/metrics", endpoint), tls, signal);
  return text
    .split("\n")
    .filter((line) => /^(# (HELP|TYPE) )?etcd_/.test(line))
    .join("\n");
}

function get(url: URL, tls: ClientTls, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { ...tls, signal, agent: false }, async (response) => {
      try {
        if (response.statusCode !== 200) throw refusal(`it answers with status ${response.statusCode}`);
        const chunks: Buffer[] = [];
        let size = 0;
        for await (const chunk of response as AsyncIterable<Buffer>) {
          size += chunk.length;
          if (size > mostBytes) throw refusal(`they are larger than ${mostBytes} bytes`);
          chunks.push(chunk);
        }
        resolve(Buffer.concat(chunks).toString());
      } catch (error) {
        response.destroy();
        reject(error);
      }
    });
    asked.on("error", reject);
    asked.end();
  });
}

const refusal = (why: string): AppError => new AppError("unavailable", `cannot read the metrics of etcd: ${why}`);
