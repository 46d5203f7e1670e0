import type { Database } from "better-sqlite3";

/**
 * Where a revision begins among the changes: each change with an id from there on is of that revision or a later one, each
 * before it is of an earlier one. Ids grow with revisions, so this is searched for, and history needs no index by revision: it
 * would cost every write a page of log.
 */
type FirstId = (revision: number) => number;

export function createFirstId(db: Database): FirstId {
  const newest = db.prepare("SELECT id, revision FROM history ORDER BY id DESC LIMIT 1").raw();
  const from = db.prepare("SELECT id, revision FROM history WHERE id >= ? ORDER BY id LIMIT 1").raw();

  return (revision) => {
    const last = newest.get() as [id: number, revision: number] | undefined;
    if (!last) return 0;
    if (last[1] < revision) return last[0] + 1;
    let low = 0;
    let high = last[0];
    let step = 1;
    // A revision has one change at least. So it begins here or earlier, mostly here, unless revisions were left out.
    const guess = Math.max(low, high - (last[1] - revision));
    const [id, found] = from.get(guess) as [id: number, revision: number];
    if (found >= revision) high = guess;
    else low = id + 1;
    while (low < high) {
      const middle = step > 0 ? Math.max(low, high - step) : Math.floor((low + high) / 2);
      const [id, found] = from.get(middle) as [id: number, revision: number];
      if (found >= revision) {
        high = middle;
        step *= 2;
      } else {
        low = id + 1;
        step = 0;
      }
    }
    return high;
  };
}
