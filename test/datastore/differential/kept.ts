import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Program } from "./program.ts";

/** Programs that once failed, cut down; they run before all others. */
const file = join(import.meta.dirname, "kept-programs.json");

export function keptPrograms(): readonly Program[] {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Program[]) : [];
}

export function keepProgram(program: Program): string {
  const kept = keptPrograms();
  const known = kept.some((each) => isDeepStrictEqual(each.steps, program.steps));
  if (!known) writeFileSync(file, `${JSON.stringify([...kept, program], null, 1)}\n`);
  return file;
}
