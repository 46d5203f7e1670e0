/** Deeper than any configuration, far below where a recursive walk of the value would end the stack. */
const maxDepth = 200;

/**
 * The first JSON value of a text; what follows it is not looked at, as with Go's decoder. Integers that a double cannot
 * hold become bigint. Errors carry the texts of Go's decoder where clients know them.
 */
export function parseFirstJson(text: string): unknown {
  const start = text.search(/[^ \t\r\n]/);
  if (start === -1) throw new SyntaxError("EOF");
  const value = text.slice(start, endOfValue(text, start));
  // The reviver is slow, and only a run of 16 digits can be an integer that a double does not hold.
  if (!/\d{16}/.test(value)) return JSON.parse(value);
  return parseWithSource(value, (_key, parsed: unknown, context: { source?: string }) =>
    typeof parsed === "number" && /^-?\d{16,20}$/.test(context.source ?? "") && !Number.isSafeInteger(parsed)
      ? BigInt(context.source ?? "")
      : parsed,
  );
}

/** JSON with bigint as plain integers. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? rawJson(item.toString()) : item));
}

/** JSON.parse with the source text of primitives; TypeScript's library does not know it yet. */
const parseWithSource = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
) => unknown;

/** Puts a literal into the output of JSON.stringify; TypeScript's library does not know it yet. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown };

function endOfValue(text: string, start: number): number {
  const first = text.charAt(start);
  if (first === '"') return endOfString(text, start);
  if (first !== "{" && first !== "[") {
    const scalar = /^[^\s,:[\]{}"]+/.exec(text.slice(start, start + 400))?.[0];
    if (scalar === undefined) throw new SyntaxError(`invalid character '${first}' looking for beginning of value`);
    return start + scalar.length;
  }
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '"') {
      at = endOfString(text, at) - 1;
    } else if (character === "{" || character === "[") {
      depth++;
      if (depth > maxDepth) throw new SyntaxError("exceeded max depth");
    } else if (character === "}" || character === "]") {
      depth--;
      if (depth === 0) return at + 1;
    }
  }
  throw new SyntaxError("unexpected EOF");
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === "\\") at++;
    else if (character === '"') return at + 1;
  }
  throw new SyntaxError("unexpected EOF");
}
