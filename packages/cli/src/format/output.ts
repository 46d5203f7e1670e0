import { CliError } from "../cli-error.ts";
import type { YamlValue } from "./yaml.ts";

export type OutputFormat = "plain" | "json" | "yaml";

export function parseOutputFormat(text: string): OutputFormat {
  if (text === "" || text === "plain") return "plain";
  if (text === "json" || text === "yaml") return text;
  throw new CliError(
    `Error: Unknown --output-format ${JSON.stringify(text)}. It must be one of "plain" (default), "json" or "yaml".`,
  );
}

/** One result in the three forms it can be printed in; each is made only when it is asked for. */
export interface Output {
  plain(): string;
  json(): unknown;
  yaml(): YamlValue;
}

export async function render(output: Output, format: OutputFormat): Promise<string> {
  switch (format) {
    case "plain":
      return `${output.plain()}\n`;
    case "json":
      return (await import("./json.ts")).formatJson(output.json());
    case "yaml":
      return (await import("./yaml.ts")).formatYaml(output.yaml());
  }
}
