/** Text that is written without quotes whatever it looks like: a time. */
export class PlainScalar {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type YamlValue =
  | string
  | number
  | boolean
  | null
  | PlainScalar
  | readonly YamlValue[]
  | { readonly [key: string]: YamlValue | undefined };

/** YAML as yaml.v2 writes it: lists are not indented below their key, undefined keys are left out. */
export function formatYaml(value: YamlValue): string {
  return `${node(value, "").replace(/^[\n ]/, "")}\n`;
}

/** The value with what separates it from its key: a space, or a newline and the indentation. */
function node(value: YamlValue, indent: string): string {
  if (typeof value === "string") return ` ${scalar(value, indent)}`;
  if (value === null || typeof value !== "object") return ` ${value}`;
  if (value instanceof PlainScalar) return ` ${value.text}`;
  if (isList(value)) {
    if (value.length === 0) return " []";
    return value.map((item) => `\n${indent}-${inList(node(item, `${indent}  `), indent)}`).join("");
  }
  const entries = Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [{ key, item }]));
  if (entries.length === 0) return " {}";
  const below = (item: YamlValue) => (isList(item) ? indent : `${indent}  `);
  return entries.map(({ key, item }) => `\n${indent}${scalar(key, indent)}:${node(item, below(item))}`).join("");
}

/** The first line of a nested map or list stands beside the dash. */
function inList(text: string, indent: string): string {
  return text.startsWith("\n") ? ` ${text.slice(indent.length + 3)}` : text;
}

function isList(value: YamlValue): value is readonly YamlValue[] {
  return Array.isArray(value);
}

/** What would be read back as something else than a string: null, booleans of YAML 1.1, numbers, times, merge. */
const notString =
  /^(?:~|null|Null|NULL|<<|y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?0x[0-9a-fA-F_]+|[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?)$/;

function scalar(text: string, indent: string): string {
  if (text === "" || notString.test(text)) return JSON.stringify(text);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what needs escapes
  if (/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\ufeff\u2028\u2029]/.test(text)) return JSON.stringify(text);
  if (text.includes("\n")) return block(text, indent);
  const indicator = /^[,[\]{}#&*!|>'"%@`]|^[-?:](?: |$)|^(?:---|\.\.\.)(?: |$)|: |:$| #|^ | $/;
  return indicator.test(text) ? `'${text.replaceAll("'", "''")}'` : text;
}

function block(text: string, indent: string): string {
  const inner = indent === "" ? "  " : indent;
  if (/^[\n ]/.test(text)) return JSON.stringify(text);
  const lines = text.replace(/\n+$/, "").split("\n");
  const trailing = /\n*$/.exec(text)?.[0].length ?? 0;
  const chomp = trailing === 0 ? "-" : trailing === 1 ? "" : "+";
  const body = [...lines, ...Array.from({ length: Math.max(0, trailing - 1) }, () => "")];
  return `|${chomp}\n${body.map((line) => (line === "" ? "" : `${inner}${line}`)).join("\n")}`;
}
