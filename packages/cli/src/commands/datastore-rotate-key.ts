import type { DatastoreReport, SealKeyState } from "@k8sd/api-types";
import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

const lookMs = 500;
/** The datastore may be busy for a moment; the change of the key goes on without us. */
const patience = 20;

export function rotateKeyCommand(deps: CliDeps): Command {
  const command = subcommand("rotate-key", "Seal the cluster's secrets with a new key", deps).option(
    "--output-format <format>",
    "set the output format to one of plain, json or yaml",
    "plain",
  );
  durationFlag(command, "--timeout", "the max time to wait until the old key is forgotten", "1m30s");
  return command.action(async (options: { readonly outputFormat: string; readonly timeout: number }) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const [{ deadline }, { setTimeout: sleep }] = await Promise.all([
      import("../client/client.ts"),
      import("node:timers/promises"),
    ]);
    const signal = deadline(timeout);
    await requireLocalNode(client, signal);
    let state = await client
      .query<SealKeyState>("POST", "/k8sd/datastore/seal-key", { signal })
      .catch((error: unknown) => {
        throw failed("Failed to change the key that seals the cluster's secrets.", error);
      });
    for (let failures = 0; isMoving(state) && !signal.aborted && failures < patience; ) {
      await sleep(lookMs, undefined, { signal }).catch(() => undefined);
      const report = await client
        .query<DatastoreReport>("GET", "/k8sd/datastore", { signal })
        .catch((): Partial<DatastoreReport> => ({}));
      state = report["seal-key"] ?? state;
      failures = report["seal-key"] === undefined ? failures + 1 : 0;
    }
    const { sealKeyOutput } = await import("../format/datastore.ts");
    deps.print(await render(sealKeyOutput(state), format));
  });
}

const isMoving = ({ coming, leaving }: SealKeyState): boolean => coming !== undefined || leaving !== undefined;
