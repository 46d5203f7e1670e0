import { execFileSync } from "node:child_process";
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

/** A disk that forgets what no fsync covered; see unsynced.c. */
export interface ForgetfulDisk {
  /** For the process whose writes are noted. */
  readonly env: Readonly<Record<string, string>>;
  /** After the process was killed: takes back a choice of the writes that no fsync covered. Gives how many those were. */
  forget(keep: () => boolean): { readonly undurable: number; readonly takenBack: number };
}

const files = ["datastore.db", "datastore.db-wal"];
const kind = { write: 1, truncate: 2, sync: 3, cut: 4 } as const;
const headBytes = 40;

/** Undefined without a compiler. @param lie the disk promises and does not keep. */
export function createForgetfulDisk(folder: string, dataDir: string, lie: boolean): ForgetfulDisk | undefined {
  const library = join(folder, "unsynced.so");
  try {
    execFileSync("gcc", ["-O2", "-shared", "-fPIC", "-o", library, join(import.meta.dirname, "unsynced.c"), "-ldl"]);
  } catch {
    return undefined;
  }
  const notes = join(folder, "notes");
  return {
    env: { LD_PRELOAD: library, UNSYNCED_NOTES: notes, UNSYNCED_LIE: lie ? "1" : "0" },
    forget(keep) {
      const undurable = existsSync(notes) ? readNotes(readFileSync(notes)) : [];
      const open = files.map((name) => openSync(join(dataDir, name), "r+"));
      for (const note of undurable.toReversed()) {
        const file = open[note.file] as number;
        writeSync(file, note.old, 0, note.old.length, note.offset);
        ftruncateSync(file, note.lengthBefore);
      }
      const kept = undurable.filter((note) => note.kind !== kind.cut && keep());
      for (const note of kept) {
        const file = open[note.file] as number;
        if (note.kind === kind.truncate) ftruncateSync(file, note.offset);
        else writeSync(file, note.fresh, 0, note.fresh.length, note.offset);
      }
      for (const file of open) closeSync(file);
      rmSync(notes, { force: true });
      // Shared memory of processes that are gone; no disk ever held it.
      rmSync(join(dataDir, "datastore.db-shm"), { force: true });
      return { undurable: undurable.length, takenBack: undurable.length - kept.length };
    },
  };
}

interface Note {
  readonly place: number;
  readonly kind: number;
  readonly file: number;
  readonly offset: number;
  readonly lengthBefore: number;
  readonly old: Buffer;
  readonly fresh: Buffer;
}

/** The writes after the last fsync of their file, oldest first. */
function readNotes(bytes: Buffer): Note[] {
  let notes: Note[] = [];
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const place = at;
    const field = (index: number) => Number(bytes.readBigUInt64LE(at + index * 8));
    const [what, file, offset, length, lengthBefore] = [field(0), field(1), field(2), field(3), field(4)];
    at += headBytes;
    if (what === kind.sync) {
      // The offset is where the notes stood when the fsync began.
      notes = notes.filter((note) => note.file !== file || note.place >= offset);
      continue;
    }
    // Killed while it was written: the write it was for never began.
    if (at + 2 * length > bytes.length) break;
    const old = bytes.subarray(at, at + length);
    const fresh = bytes.subarray(at + length, at + 2 * length);
    notes.push({ place, kind: what, file, offset, lengthBefore, old, fresh });
    at += 2 * length;
  }
  return notes;
}
