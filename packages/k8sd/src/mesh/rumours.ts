import type { Update } from "./messages.ts";

/** Updates that are still to be passed on; those passed on least often go first. */
export interface Rumours {
  /** Replaces what was said of the same node before; a suspicion only replaces one by the same accuser. */
  add(update: Update): void;
  take(count: number, limit: number): readonly Update[];
  forget(id: string): void;
  readonly empty: boolean;
}

export function createRumours(): Rumours {
  /** By how often they were sent: there are at most `limit` levels, so nothing is ever sorted. */
  const levels = new Map<number, Map<string, Update>>();
  const levelOf = new Map<string, number>();
  const keysOf = new Map<string, Set<string>>();

  function put(level: number, key: string, update: Update): void {
    const items = levels.get(level) ?? new Map<string, Update>();
    levels.set(level, items.set(key, update));
    levelOf.set(key, level);
    keysOf.set(update.id, (keysOf.get(update.id) ?? new Set()).add(key));
  }

  function drop(key: string, id: string): void {
    const level = levelOf.get(key);
    if (level === undefined) return;
    levels.get(level)?.delete(key);
    if (levels.get(level)?.size === 0) levels.delete(level);
    levelOf.delete(key);
    const keys = keysOf.get(id);
    keys?.delete(key);
    if (keys?.size === 0) keysOf.delete(id);
  }

  function forget(id: string): void {
    for (const key of [...(keysOf.get(id) ?? [])]) drop(key, id);
  }

  return {
    add: (update) => {
      const key = update.by === undefined ? update.id : `${update.id} ${update.by}`;
      if (update.by === undefined) forget(update.id);
      else {
        drop(update.id, update.id);
        drop(key, update.id);
      }
      put(0, key, update);
    },
    take: (count, limit) => {
      if (levelOf.size === 0) return [];
      const taken: [string, Update, number][] = [];
      for (const level of [...levels.keys()].sort((a, b) => a - b)) {
        for (const [key, update] of levels.get(level) ?? []) {
          if (taken.length === count) break;
          taken.push([key, update, level]);
        }
      }
      for (const [key, update, level] of taken) {
        drop(key, update.id);
        if (level + 1 < limit) put(level + 1, key, update);
      }
      return taken.map(([, update]) => update);
    },
    forget,
    get empty() {
      return levelOf.size === 0;
    },
  };
}
