import { isIP } from "node:net";
import { AppError } from "../lib/app-error.ts";
import { readTextIfThere } from "../lib/read-file.ts";
import { writeFileAtomic } from "../lib/write-file.ts";

export interface Endpoint {
  /** An IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** As it stands in the file: `10.0.0.1:6443`, `[fd00::1]:6443`. */
  readonly text: string;
  /** Its node does not answer the others: the last to be tried. */
  readonly away?: true;
}

/** A cluster has a handful of control planes; more than this is a mistake. */
const mostEndpoints = 64;
const largestFile = 64 * 1024;

/** Reads `{"endpoints":["ip:port",…],"away":["ip:port",…]}`; each once, sorted. */
export function parseEndpoints(text: string): readonly Endpoint[] {
  if (text.length > largestFile) throw unusable("it is too long");
  const endpoints = property(text, "endpoints");
  if (!Array.isArray(endpoints)) throw unusable("it has no list of endpoints");
  if (endpoints.length === 0) throw unusable("empty list of endpoints");
  if (endpoints.length > mostEndpoints) throw unusable(`it names more than ${mostEndpoints} endpoints`);
  const away = property(text, "away");
  const isAway = (endpoint: Endpoint): boolean => Array.isArray(away) && away.includes(endpoint.text);
  return [...new Set<unknown>(endpoints)]
    .map(parseEndpoint)
    .map((endpoint): Endpoint => (isAway(endpoint) ? { ...endpoint, away: true } : endpoint))
    .sort((a, b) => (a.text < b.text ? -1 : 1));
}

function property(text: string, name: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unusable("it is no JSON", error);
  }
  return typeof value === "object" && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}

function parseEndpoint(value: unknown): Endpoint {
  const match = typeof value === "string" ? /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(value) : null;
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  const family = isIP(host);
  const bracketed = match?.[1] !== undefined;
  if (typeof value !== "string" || family === 0 || bracketed !== (family === 6) || port < 1 || port > 65_535) {
    throw unusable(`${JSON.stringify(value)?.slice(0, 100)} is no ip:port`);
  }
  return { host, port, text: value };
}

function unusable(reason: string, cause?: unknown): AppError {
  return new AppError("invalid", `cannot use the endpoints of the API servers: ${reason}`, {
    remedy: 'Write {"endpoints":["ip:port"]} with the addresses of the control planes.',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Puts the API servers into the file that the proxy follows. A set that the proxy could not use is not written. */
export async function writeEndpoints(
  path: string,
  endpoints: readonly string[],
  away: readonly string[] = [],
): Promise<"changed" | "unchanged"> {
  const wanted = parseEndpoints(JSON.stringify({ endpoints, away }));
  const gone = wanted.filter((endpoint) => endpoint.away).map(({ text }) => text);
  const content = `${JSON.stringify({
    endpoints: wanted.map(({ text }) => text),
    ...(gone.length === 0 ? {} : { away: gone }),
  })}\n`;
  if ((await readTextIfThere(path)) === content) return "unchanged";
  await writeFileAtomic({ path, content, mode: 0o600 });
  return "changed";
}
