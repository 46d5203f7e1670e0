import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Paths } from "../../host/paths.ts";
import { readTextIfThere } from "../../lib/read-file.ts";
import { writeFileAtomic } from "../../lib/write-file.ts";
import { resealClusterSecrets } from "../cluster-secrets.ts";
import { createSeal, sealedWith, sealKeyBytes, sealKeyId, splitKeys } from "../seal.ts";

/** The keys of the seal that this node has. Every change has reached the disk when it returns, and is done whole or not at all. */
export interface Ring {
  /** The one that seals first. */
  ids(): Promise<readonly string[]>;
  keys(): Promise<readonly Buffer[]>;
  /** One more that opens. */
  add(key: Uint8Array): Promise<void>;
  /** Makes one that opens; all others that only open go. @returns its id */
  make(): Promise<string>;
  /** From now on this one seals; what lies on this node is sealed with it when this returns. */
  lead(id: string): Promise<void>;
  /** Never the one that seals. */
  forget(ids: readonly string[]): Promise<void>;
}

export function createRing({ sealKey, clusterSecrets }: Pick<Paths, "sealKey" | "clusterSecrets">): Ring {
  const keys = async () => splitKeys(await readFile(sealKey));
  const write = async (next: readonly Uint8Array[]) =>
    writeFileAtomic({ path: sealKey, content: Buffer.concat(next), mode: 0o600 });

  /** What only this node reads, and its successor at a join. */
  async function resealOwn(): Promise<void> {
    const all = await keys();
    const sealed = await readTextIfThere(clusterSecrets);
    const [first] = all;
    if (sealed === undefined || first === undefined || sealedWith(sealed) === sealKeyId(first)) return;
    const content = resealClusterSecrets(sealed, createSeal(Buffer.concat(all)));
    await writeFileAtomic({ path: clusterSecrets, content, mode: 0o600 });
  }

  return {
    keys,
    ids: async () => (await keys()).map(sealKeyId),
    add: async (key) => {
      const all = await keys();
      if (!all.map(sealKeyId).includes(sealKeyId(key))) await write([...all, key]);
    },
    make: async () => {
      const [first] = await keys();
      const key = randomBytes(sealKeyBytes);
      await write(first === undefined ? [key] : [first, key]);
      return sealKeyId(key);
    },
    lead: async (id) => {
      const all = await keys();
      const [first] = all;
      if (first === undefined || sealKeyId(first) !== id) {
        const chosen = all.filter((key) => sealKeyId(key) === id);
        if (chosen.length === 0) throw new Error(`the key ${id} is not here`);
        await write([...chosen, ...all.filter((key) => sealKeyId(key) !== id)]);
      }
      await resealOwn();
    },
    forget: async (ids) => {
      const [first, ...others] = await keys();
      const kept = others.filter((key) => !ids.includes(sealKeyId(key)));
      if (first !== undefined && kept.length < others.length) await write([first, ...kept]);
    },
  };
}
