import { AppError } from "../lib/app-error.ts";
import { type ArgsUpdate, byBytes } from "./args-file.ts";

/** Environment files: `KEY=VALUE` lines, `#` and blank lines skipped, later wins. Lines that an update does not name stay. */
export function updateEnv(text: string, update: ArgsUpdate): { text: string; changed: boolean } {
  const kept: string[] = [];
  const seen = new Map<string, string>();
  let changed = false;
  for (const line of text.split("\n")) {
    const key = /^\s*([A-Za-z_][A-Za-z0-9_]*)=/.exec(line)?.[1];
    if (key === undefined) {
      if (line.trim() !== "") kept.push(line);
    } else if (Object.hasOwn(update.set, key)) seen.set(key, line.slice(line.indexOf("=") + 1));
    else if (update.remove.includes(key)) changed = true;
    else kept.push(line);
  }
  const ours = Object.entries(update.set).sort(([a], [b]) => byBytes(a, b));
  for (const [key, value] of ours) if (seen.get(key) !== value) changed = true;
  const lines = [...kept, ...ours.map(([key, value]) => `${key}=${value}`)];
  return { text: lines.length === 0 ? "" : `${lines.join("\n")}\n`, changed };
}

export function validateEnv(service: string, env: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(env)) {
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(key) && !/[\n\r\0]/.test(value)) continue;
    throw new AppError(
      "invalid",
      `cannot set the environment variable ${JSON.stringify(key)} of ${service}: its name or value is not valid`,
      {
        field: key,
        remedy: "Use letters, digits and '_' in the name and no line break in the value.",
      },
    );
  }
}
