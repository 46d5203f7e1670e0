import type { IncomingMessage } from "node:http";
import { bounds, fit, type UnknownKey } from "@k8sd/api-types";
import type { z } from "zod";
import { AppError, errorText } from "../lib/app-error.ts";
import { parseFirstJson } from "./json.ts";

/** The body as text. Taken from the socket's message: fetch's Request knows no body on GET, and the contract has one. */
export async function readBody(incoming: IncomingMessage, limit: number = bounds.bodyBytes): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Not destroyed on an early end, so that the answer still reaches the caller.
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > limit) throw invalid("http: request body too large", undefined, `Send at most ${limit} bytes.`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Decodes the way clients of Go's encoding/json rely on; see `parseFirstJson` and `fit`. */
export function decode<T>(schema: z.ZodType<T>, body: string, strict: boolean): T {
  let json: unknown;
  try {
    json = parseFirstJson(body);
  } catch (error) {
    throw invalid(`${errorText(error)}`);
  }
  const { value, unknown } = fit(schema, json ?? {});
  const first = unknown[0];
  if (strict && first !== undefined) throw unknownField(first);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = innermost(parsed.error.issues[0]);
  const field = path.join(".");
  throw invalid(`json: cannot use the value of ${field === "" ? "the body" : `field "${field}"`}: ${message}`, field);
}

/** Of the alternatives of a union the one that got furthest into the value is what the caller meant. */
function innermost(issue: z.core.$ZodIssue | undefined): { path: readonly PropertyKey[]; message: string } {
  if (issue === undefined) return { path: [], message: "invalid value" };
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors.flatMap((issues) => issues.slice(0, 1).map(innermost));
  const deepest = inner.reduce((a, b) => (b.path.length > a.path.length ? b : a), { path: [], message: issue.message });
  return { path: [...issue.path, ...deepest.path], message: deepest.message };
}

function unknownField({ key, path, suggestion }: UnknownKey): AppError {
  const where = path === key ? "" : ` (at "${path}")`;
  const remedy = suggestion === undefined ? undefined : `Did you mean "${suggestion}"?`;
  return invalid(`json: unknown field ${JSON.stringify(key)}${where}`, path, remedy);
}

function invalid(reason: string, field?: string, remedy?: string): AppError {
  return new AppError("invalid", `failed to parse request: ${reason}`, {
    ...(field ? { field } : {}),
    ...(remedy === undefined ? {} : { remedy }),
  });
}
