import type { DatastoreReport, SealKeyState } from "@k8sd/api-types";
import type { Command } from "commander";
import { failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { durationFlag, outputFlag, subcommand } from "../usage.ts";

const lookMs = 500;
/** The datastore may be busy for a moment; the change of the key goes on without us. */
const patience = 20;

export function rotateKeyCommand(deps: CliDeps): Command {
  const command = subcommand("rotate-key", "Seal the cluster's secrets with a new key", deps);
  outputFlag(command);
  durationFlag(command, "--timeout", "the max time to wait until the old key is forgotten", "1m30s");
  return command.action(async (options: CommonOptions) => {
    const { client, signal, print } = await openSession(command, deps, options);
    const { setTimeout: sleep } = await import("node:timers/promises");
    let state = await client
      .query<SealKeyState>("POST", "/k8sd/datastore/seal-key", { signal })
      .catch(failing("Failed to change the key that seals the cluster's secrets."));
    for (let failures = 0; isMoving(state) && !signal.aborted && failures < patience; ) {
      await sleep(lookMs, undefined, { signal }).catch(() => undefined);
      const report = await client
        .query<DatastoreReport>("GET", "/k8sd/datastore", { signal })
        .catch((): Partial<DatastoreReport> => ({}));
      state = report["seal-key"] ?? state;
      failures = report["seal-key"] === undefined ? failures + 1 : 0;
    }
    const { sealKeyOutput } = await import("../format/datastore.ts");
    await print(sealKeyOutput(state));
  });
}

const isMoving = ({ coming, leaving }: SealKeyState): boolean => coming !== undefined || leaving !== undefined;
