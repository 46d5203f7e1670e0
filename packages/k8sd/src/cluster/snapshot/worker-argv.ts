/** What this program is told to be, in place of the daemon. */
export const snapshotWorker = "snapshot-worker";

/** This very program with its Node.js and its options. */
export function workerArgv(): readonly string[] {
  return [process.execPath, ...process.execArgv, process.argv[1] ?? "", snapshotWorker];
}
