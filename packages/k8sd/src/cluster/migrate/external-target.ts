import type { Logger } from "pino";
import { claim, clearClaimed, releaseClaim } from "../../datastore/migrate/claim.ts";
import { openStore, type StoreAccess } from "../../datastore/migrate/store-access.ts";
import { datastoreOptions } from "../connections.ts";
import { onPort } from "./engines.ts";
import { etcdOptions } from "./etcd-access.ts";
import { type MigrateInput, movesOut } from "./plan.ts";

/** An etcd of somebody else is reached as the operation was told. */
export async function targetStore(input: MigrateInput, secret: string | undefined): Promise<StoreAccess> {
  const { view } = input.after;
  return openStore(
    movesOut(input) ? etcdOptions(view, secret) : await datastoreOptions(onPort(view, input.ports.target)),
  );
}

/** What is written into somebody else's etcd is known as this move's. */
export const claimantOf = ({ clusterId, ports }: MigrateInput): string =>
  `${clusterId}-${ports.source}-${ports.target}`;

export async function claimTarget(input: MigrateInput, secret: string | undefined, signal: AbortSignal): Promise<void> {
  await using target = await targetStore(input, secret);
  await claim(target.data, claimantOf(input), signal);
}

export async function releaseTarget(
  input: MigrateInput,
  secret: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  await using target = await targetStore(input, secret);
  await releaseClaim(target.data, claimantOf(input), signal);
}

/** An etcd that is away cannot hold up the cluster; the next migration to it says what is there. */
export async function clearTarget(
  input: MigrateInput,
  secret: string | undefined,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  try {
    await using target = await targetStore(input, secret);
    await clearClaimed(target.data, claimantOf(input), signal);
  } catch (error) {
    signal.throwIfAborted();
    log.warn({ err: error }, "Could not take back what was written into the external etcd");
  }
}
