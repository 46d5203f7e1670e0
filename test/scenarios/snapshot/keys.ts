import { expect } from "vitest";
import type { Host } from "../../hosts/types.ts";
import { etcdctl } from "../recover/three.ts";

/** Where kube-apiserver keeps what it has, with its certificate. */
export const prefix = "/registry/test/";

export async function put(host: Host, key: string, value: string): Promise<void> {
  expect(await etcdctl(host, "put", prefix + key, value)).toBe("OK");
}

export const read = (host: Host, key: string): Promise<string> =>
  etcdctl(host, "get", prefix + key, "--print-value-only");

export async function revisionOf(host: Host): Promise<number> {
  const json = await etcdctl(host, "get", `${prefix}none`, "--write-out", "json");
  return (JSON.parse(json) as { header: { revision: number } }).header.revision;
}
