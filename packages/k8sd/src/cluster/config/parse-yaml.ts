import {
  type BootstrapConfig,
  bootstrapConfig,
  type ControlPlaneJoinConfig,
  controlPlaneJoinConfig,
  nearest,
  takesNull,
  type WorkerJoinConfig,
  withoutWrappers,
  workerJoinConfig,
} from "@k8sd/api-types";
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from "yaml";
import { z } from "zod";
import { AppError } from "../../lib/app-error.ts";
import { scalarAsAny, scalarAsBoolean, scalarAsInteger, scalarIsNull } from "./yaml-scalar.ts";

export const parseBootstrapConfig = (text: string): BootstrapConfig => parseYaml(bootstrapConfig, text);
export const parseControlPlaneJoinConfig = (text: string): ControlPlaneJoinConfig =>
  parseYaml(controlPlaneJoinConfig, text);
export const parseWorkerJoinConfig = (text: string): WorkerJoinConfig => parseYaml(workerJoinConfig, text);

/** An alias may repeat a part of the document; a document made of aliases must not fill the memory. */
const maxNodes = 20_000;
const maxDepth = 100;

/**
 * Reads a configuration document by its schema, with the meaning Go's yaml.v2 gives it: `yes` and `off` are booleans, `010`
 * is eight, a bare scalar is text where text is wanted, null is absent. Unknown and repeated keys are errors.
 */
export function parseYaml<T>(schema: z.ZodType<T>, text: string): T {
  const lines = new LineCounter();
  const document = parseDocument(text, { schema: "failsafe", uniqueKeys: true, merge: false, lineCounter: lines });
  const error = document.errors[0];
  if (error !== undefined) throw invalid(error.message.split("\n")[0] ?? "", "", "Correct the YAML.");
  const reader = createReader(lines);
  const value = document.contents === null ? {} : reader(document.contents, schema, "", 0);
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join(".") ?? "";
  throw invalid(`${field === "" ? "the document" : field}: ${issue?.message}`, field, "Correct the value.");
}

function createReader(lines: LineCounter) {
  let nodes = 0;
  // Kept here: the library would search the whole document for each alias.
  const anchors = new Map<string, Node>();

  function read(node: Node, schema: z.ZodType, path: string, depth: number): unknown {
    nodes += 1;
    if (nodes > maxNodes || depth > maxDepth)
      throw invalid("the document is too large", path, "Use fewer aliases and levels.");
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target === undefined) throw invalid(`unknown alias${lineOf(node)}`, path, "Correct the YAML.");
      return read(target, schema, path, depth + 1);
    }
    if (node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isScalar(node)) return readScalar(node, withoutWrappers(schema), path);
    if (isSeq(node)) {
      const inner = withoutWrappers(schema);
      const element = inner instanceof z.ZodArray ? (inner.element as z.ZodType) : anything;
      return node.items.map((item, index) => read(item as Node, element, `${path}[${index}]`, depth + 1));
    }
    if (isMap(node)) return readMap(node, withoutWrappers(schema, {}), path, depth);
    throw invalid(`unexpected value${lineOf(node)}`, path, "Correct the YAML.");
  }

  function readMap(map: YAMLMap, schema: z.ZodType, path: string, depth: number): Record<string, unknown> {
    const entries = new Map<string, unknown>();
    // What "<<" brings stands behind the map's own keys.
    const inherited = new Map<string, unknown>();
    for (const { key: keyNode, value: valueNode } of map.items) {
      const key = isScalar(keyNode) ? String(keyNode.value) : undefined;
      if (key === undefined) throw invalid(`a key must be a word${lineOf(keyNode as Node)}`, path, "Correct the YAML.");
      if (key === "<<") {
        const merged = read(valueNode as Node, schema, path, depth + 1);
        for (const [name, value] of Object.entries((merged ?? {}) as object)) inherited.set(name, value);
        continue;
      }
      const here = path === "" ? key : `${path}.${key}`;
      const entry = entrySchema(schema, key, here, keyNode as Node);
      const value = valueNode === null ? null : read(valueNode as Node, entry, here, depth + 1);
      if (value === null && !takesNull(entry)) continue;
      entries.set(key, value);
    }
    return Object.fromEntries([...inherited, ...entries]);
  }

  function entrySchema(schema: z.ZodType, key: string, path: string, node: Node): z.ZodType {
    if (schema instanceof z.ZodRecord) return schema.valueType as z.ZodType;
    if (!(schema instanceof z.ZodObject)) return anything;
    const shape: Record<string, z.ZodType> = schema.shape;
    if (Object.hasOwn(shape, key)) return shape[key] as z.ZodType;
    const meant = nearest(key, Object.keys(shape));
    const remedy = meant === undefined ? "Remove it." : `Did you mean ${JSON.stringify(meant)}?`;
    throw invalid(`unknown key ${JSON.stringify(path)}${lineOf(node)}`, path, remedy);
  }

  function readScalar(scalar: Scalar, schema: z.ZodType, path: string): unknown {
    const text = String(scalar.value ?? "");
    const plain = scalar.type === "PLAIN" && scalar.tag === undefined;
    if (plain && scalarIsNull(text)) return null;
    const wrong = (what: string) =>
      invalid(`${path}: ${JSON.stringify(text)} is not ${what}${lineOf(scalar)}`, path, `Give ${path} ${what}.`);
    if (schema instanceof z.ZodString) return text;
    if (schema instanceof z.ZodBoolean)
      return (plain ? scalarAsBoolean(text) : undefined) ?? raise(wrong("true or false"));
    if (schema instanceof z.ZodNumber)
      return (plain ? scalarAsInteger(text) : undefined) ?? raise(wrong("a whole number"));
    return plain ? scalarAsAny(text) : text;
  }

  function lineOf(node: Node): string {
    return node.range ? ` (line ${lines.linePos(node.range[0]).line})` : "";
  }

  return read;
}

const anything = z.json();

function raise(error: Error): never {
  throw error;
}

function invalid(reason: string, field: string, remedy: string): AppError {
  return new AppError("invalid", `cannot read the configuration: ${reason}`, {
    ...(field === "" ? {} : { field }),
    remedy,
  });
}
