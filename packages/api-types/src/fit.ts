import { z } from "zod";

export interface UnknownKey {
  /** As the caller wrote it. */
  readonly key: string;
  /** Where it stands: `config.cluster-config.dns.enabld`. */
  readonly path: string;
  /** The known key most like it. */
  readonly suggestion: string | undefined;
}

export interface Fitted {
  readonly value: unknown;
  readonly unknown: readonly UnknownKey[];
}

/**
 * Gives decoded JSON the shape a schema asks for, by the rules clients of Go's decoder rely on: keys match whatever their
 * case (an exact match wins), null means absent where the schema knows no null, unknown keys are left out and reported.
 */
export function fit(schema: z.ZodType, value: unknown, path = ""): Fitted {
  const unknown: UnknownKey[] = [];
  return { value: fitInto(schema, value, path, unknown), unknown };
}

function fitInto(schema: z.ZodType, value: unknown, path: string, unknown: UnknownKey[]): unknown {
  const inner = withoutWrappers(schema, value);
  if (inner instanceof z.ZodArray && Array.isArray(value)) {
    return value.map((item, index) => fitInto(inner.element as z.ZodType, item, `${path}[${index}]`, unknown));
  }
  if (!isRecord(value)) return value;
  if (inner instanceof z.ZodRecord) {
    const entry = inner.valueType as z.ZodType;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, fitInto(entry, item, join(path, key), unknown)]),
    );
  }
  if (!(inner instanceof z.ZodObject)) return value;
  const shape: Record<string, z.ZodType> = inner.shape;
  const entries = new Map<string, unknown>();
  for (const [key, item] of Object.entries(value)) {
    const known = knownKey(key, shape);
    if (known === undefined) {
      unknown.push({ key, path: join(path, key), suggestion: nearest(key, Object.keys(shape)) });
      continue;
    }
    if (known !== key && Object.hasOwn(value, known)) continue;
    const entry = shape[known] as z.ZodType;
    if (item === null && !takesNull(entry)) continue;
    entries.set(known, fitInto(entry, item, join(path, known), unknown));
  }
  return Object.fromEntries([...entries]);
}

/** The schema that decides about the value's shape: optional, default and pipe say nothing about it. */
export function withoutWrappers(schema: z.ZodType, value?: unknown): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault) {
    return withoutWrappers(schema.unwrap() as z.ZodType, value);
  }
  if (schema instanceof z.ZodPipe) return withoutWrappers(schema.in as z.ZodType, value);
  if (schema instanceof z.ZodUnion) {
    const options = schema.options as readonly z.ZodType[];
    const wanted = isRecord(value)
      ? options.find((option) => withoutWrappers(option) instanceof z.ZodObject)
      : undefined;
    return wanted === undefined ? schema : withoutWrappers(wanted, value);
  }
  return schema;
}

export function takesNull(schema: z.ZodType): boolean {
  return schema.safeParse(null).success;
}

/** The key most like a mistyped one, when it is near enough to be meant. */
export function nearest(key: string, candidates: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(key.length / 3));
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(normal(key), normal(candidate)) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance);
  return ranked[0]?.candidate;
}

const normal = (key: string) => key.slice(0, 64).toLowerCase().replaceAll("_", "-");

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function knownKey(key: string, shape: Record<string, z.ZodType>): string | undefined {
  if (Object.hasOwn(shape, key)) return key;
  const folded = key.toLowerCase();
  return Object.keys(shape).find((known) => known.toLowerCase() === folded);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}
