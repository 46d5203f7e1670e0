import { randomUUID } from "node:crypto";
import type { SetSnapshotStoreRequest, SnapshotStore, SnapshotStoreStatus } from "@k8sd/api-types";
import { createS3Store } from "../../datastore/snapshot/s3/client.ts";
import type { S3Options } from "../../datastore/snapshot/s3/request.ts";
import { AppError } from "../../lib/app-error.ts";
import type { SnapshotSettings } from "./settings.ts";

export interface StoreDeps {
  readonly settings: () => Promise<SnapshotSettings>;
  readonly now: () => number;
}

export function storeOptions(given: SnapshotStore): S3Options {
  const { url, bucket, prefix, region, ca } = given;
  return {
    url: new URL(url).origin,
    bucket,
    prefix: prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`,
    region,
    credentials: { accessKeyId: given["access-key-id"], secretAccessKey: given["secret-access-key"] },
    ...(ca === "" ? {} : { ca }),
  };
}

/** Where snapshots go that are not kept in a directory. */
export function createSnapshotStore({ settings, now }: StoreDeps) {
  /** What a save needs of it. */
  async function check(options: S3Options, signal: AbortSignal): Promise<void> {
    const store = createS3Store(options, { now });
    const name = `probe-${randomUUID()}`;
    await store.put(name, name, signal);
    const [listed, read] = [await store.list(signal), await store.head(name, name.length, signal)];
    await store.discard(name, signal);
    if (listed.some((object) => object.name === name) && read.content.toString("utf8") === name) return;
    throw new AppError("conflict", "cannot use the store: it does not give back what is written to it");
  }

  return {
    async store(signal: AbortSignal): Promise<SnapshotStoreStatus> {
      const options = await (await settings()).store(signal);
      if (options === undefined) return {};
      const { url, bucket, prefix, region, credentials } = options;
      return { store: { url, bucket, prefix, region, "access-key-id": credentials.accessKeyId } };
    },

    async setStore({ store: wanted }: SetSnapshotStoreRequest, signal: AbortSignal): Promise<void> {
      const known = await settings();
      if (wanted === undefined) {
        if ((await known.schedule(signal))?.store) {
          throw new AppError("conflict", "cannot forget the store: the schedule of snapshots uses it", {
            remedy: "Change the schedule first, with 'k8s snapshot schedule'.",
          });
        }
        return known.setStore(undefined, signal);
      }
      const options = storeOptions(wanted);
      await check(options, signal);
      await known.setStore(options, signal);
    },
  };
}
