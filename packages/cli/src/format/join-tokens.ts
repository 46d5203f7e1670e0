import type { JoinToken } from "@k8sd/api-types";
import type { Output } from "./output.ts";
import { table } from "./table.ts";
import { PlainScalar, type YamlValue } from "./yaml.ts";

const head = ["ID", "ROLE", "NAME", "STATE", "USED", "FROM", "EXPIRES"];

export function joinTokensOutput(tokens: readonly JoinToken[]): Output {
  return {
    plain: () => (tokens.length === 0 ? "There are no join tokens." : table([head, ...tokens.map(row)])),
    json: () => ({ tokens: tokens.map(fields) }),
    yaml: () => ({ tokens: tokens.map(yaml) }),
  };
}

function row({ id, role, name, state, uses, used, joining, cidrs, expires }: JoinToken): readonly string[] {
  const use = `${used} of ${uses}${joining === 0 ? "" : `, ${joining} joining`}`;
  return [id, role, name || "any", state, use, cidrs.length === 0 ? "anywhere" : cidrs.join(","), inSeconds(expires)];
}

/** The keys in one order, whatever order they came in. */
function fields({ id, role, name, state, uses, used, joining, cidrs, created, expires }: JoinToken): JoinToken {
  return { id, role, name, state, uses, used, joining, cidrs, created, expires };
}

function yaml(token: JoinToken): YamlValue {
  const { created, expires, ...rest } = fields(token);
  return { ...rest, created: new PlainScalar(created), expires: new PlainScalar(expires) };
}

/** Nobody reads milliseconds. */
function inSeconds(time: string): string {
  return time.replace(/\.\d+Z$/, "Z");
}
