import { answers } from "../endpoint.ts";
import { HttpError } from "../errors.ts";

export const core = [
  answers("root", () => Promise.resolve(["/1.0"])),

  answers("serverStatus", ({ domain }) => {
    const ready = domain.databaseStatus() === "Database is online";
    return Promise.resolve({ ...domain.identity(), version: "1.0", ready, extensions: [] });
  }),

  answers("serverReady", async ({ domain }) => {
    if (!domain.ready()) throw new HttpError(503, "Daemon is not ready yet");
    return {};
  }),
];
