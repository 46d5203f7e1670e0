import { join } from "node:path";

import { z } from "zod";

import { AppError } from "../lib/app-error.ts";
import { exists, readTextOrEmpty } from "../lib/read-file.ts";
import { removeFile, writeFileAtomic } from "../lib/write-file.ts";
import { updateArgs, validateArgs } from "./args-file.ts";
import { updateEnv, validateEnv } from "./env-file.ts";
import type { Paths } from "./paths.ts";
import type { ServiceSpec } from "./services.ts";

/** What the last `apply` wrote, so that a flag that is wanted no longer goes while a flag the user wrote stays. */
const appliedSchema = z.object({ args: z.array(z.string()), env: z.array(z.string()) });

/** Argument and environment file of a service: the same under every service manager. */
export interface ServiceFiles {
  apply(spec: ServiceSpec): Promise<"unchanged" | "changed">;
  /** The files of a service that is taken away; those the user added to it go with it. */
  remove(name: string): Promise<void>;
}

export function createServiceFiles(paths: Pick<Paths, "args" | "appliedArgs">): ServiceFiles {
  const argsPath = (name: string): string => join(paths.args, checkedServiceName(name));
  const envPath = (name: string): string => join(paths.args, `${checkedServiceName(name)}-env`);
  const appliedPath = (name: string): string => join(paths.appliedArgs, `${checkedServiceName(name)}.json`);

  return {
    async apply(spec) {
      validateArgs(spec.name, spec.args);
      validateEnv(spec.name, spec.env);
      const applied = await readApplied(appliedPath(spec.name));
      const record = JSON.stringify({ args: Object.keys(spec.args), env: Object.keys(spec.env) });
      // The record grows before the files and shrinks after them: a crash in between never makes a flag of ours the user's.
      const both = {
        args: [...new Set([...applied.args, ...Object.keys(spec.args)])],
        env: [...new Set([...applied.env, ...Object.keys(spec.env)])],
      };
      const args = await change(argsPath(spec.name), (text) =>
        updateArgs(text, { set: spec.args, remove: applied.args.filter((flag) => !Object.hasOwn(spec.args, flag)) }),
      );
      const env = await change(envPath(spec.name), (text) =>
        updateEnv(text, { set: spec.env, remove: applied.env.filter((key) => !Object.hasOwn(spec.env, key)) }),
      );
      if (args.isNew || args.changed || env.changed) {
        await writeFileAtomic({ path: appliedPath(spec.name), content: JSON.stringify(both), mode: 0o600 });
        if (args.isNew || args.changed) await args.write();
        if (env.changed) await env.write();
      }
      if (JSON.stringify(applied) !== record) {
        await writeFileAtomic({ path: appliedPath(spec.name), content: record, mode: 0o600 });
      }
      return args.isNew || args.changed || env.changed ? "changed" : "unchanged";
    },

    async remove(name) {
      for (const path of [argsPath(name), envPath(name), appliedPath(name)]) await removeFile(path);
    },
  };
}

/** Service names become parts of paths and unit names. */
export function checkedServiceName(name: string): string {
  if (/^[a-z][a-z0-9-]{0,62}$/.test(name)) return name;
  throw new AppError(
    "invalid",
    `cannot manage a service named ${JSON.stringify(name)}: names hold lower-case letters, digits and '-'`,
  );
}

async function change(path: string, update: (text: string) => { text: string; changed: boolean }) {
  const before = await readTextOrEmpty(path);
  const after = update(before);
  return {
    changed: after.changed,
    /** A program that takes no arguments still has its (empty) file. */
    isNew: before === "" && !(await exists(path)),
    write: () => writeFileAtomic({ path, content: after.text, mode: 0o600 }),
  };
}

async function readApplied(path: string): Promise<z.infer<typeof appliedSchema>> {
  const text = await readTextOrEmpty(path);
  if (text === "") return { args: [], env: [] };
  return appliedSchema.parse(JSON.parse(text));
}
