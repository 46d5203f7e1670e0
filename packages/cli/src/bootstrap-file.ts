import { isMap, isScalar, LineCounter, parseDocument, visit } from "yaml";

export type BootstrapFile = { [key: string]: unknown };

/** Values that are text whatever they look like: `--v: 1.10` is not the number 1.1. */
const textMaps: readonly RegExp[] = [
  /^extra-node-[a-z-]+-args\./,
  /^extra-node-config-files\./,
  /^cluster-config\.annotations\./,
];

/** Dates, and base-60 numbers that would swallow `1:2:3:4:5:6:7:8`: not in the YAML that users of Go programs write. */
const unwantedTags = new Set(["tag:yaml.org,2002:timestamp"]);

/**
 * Reads a bootstrap configuration as Go programs read YAML: 1.1, with yes, no, on and off. Only its form is looked at
 * here; what the keys mean, and whether they are known, is the daemon's to say.
 */
export function parseBootstrapFile(text: string): BootstrapFile {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: "1.1",
    lineCounter: lines,
    customTags: (tags) =>
      tags.filter(
        (tag) => typeof tag === "string" || !(unwantedTags.has(tag.tag) || ("format" in tag && tag.format === "TIME")),
      ),
  });
  const [problem] = document.errors;
  if (problem !== undefined) throw new Error(problem.message.trimEnd());
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) return {};
  if (!isMap(document.contents)) throw new Error("the document must be a map of keys to values");
  visit(document, {
    Scalar(key, scalar, path) {
      if (key === "key" || scalar.source === undefined || typeof scalar.value === "string" || scalar.value === null)
        return;
      const keys = path.flatMap((part) =>
        "key" in part && isScalar(part.key) ? [String(part.key.source ?? part.key.value)] : [],
      );
      if (textMaps.some((pattern) => pattern.test(keys.join(".")))) scalar.value = scalar.source;
    },
  });
  return document.toJS({ maxAliasCount: 100 });
}
