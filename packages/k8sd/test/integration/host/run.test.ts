import { describe, expect, test } from "vitest";

import { createRun } from "../../../src/host/run.ts";

const run = createRun({ BASE: "base" });
const signal = AbortSignal.timeout(30_000);
const sh = (script: string): string[] => ["sh", "-c", script];

describe("a command", () => {
  test("gets its arguments as an array, its environment and its input", async () => {
    expect(await run(["printf", "%s|", "a b", "$(id)", "*"], { signal })).toEqual({
      exitCode: 0,
      stdout: "a b|$(id)|*|",
      stderr: "",
    });
    expect((await run(sh('echo "$BASE $X"; cat'), { signal, env: { X: "x" }, input: "in" })).stdout).toBe("base x\nin");
  });

  test("that fails gives its exit code and the end of what it printed, which stays short", async () => {
    const script = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i >&2; done; exit 7";
    await expect(run(sh(script), { signal })).rejects.toMatchObject({
      kind: "internal",
      message: expect.stringMatching(
        /^cannot run sh .*: exit code 7: line 196\nline 197\nline 198\nline 199\nline 200$/s,
      ),
    });
  });

  test("may answer with an exit code", async () => {
    expect(await run(sh("exit 3"), { signal, okExitCodes: [3] })).toMatchObject({ exitCode: 3 });
  });

  test("that is missing is named", async () => {
    await expect(run(["no-such-program"], { signal })).rejects.toMatchObject({
      kind: "not-found",
      message: "cannot run no-such-program: the program is missing",
    });
  });

  test("that takes too long is ended, also when it does not listen", async () => {
    const start = performance.now();
    await expect(
      run(sh("trap '' TERM; while :; do sleep 0.05; done"), { signal, timeoutMs: 100 }),
    ).rejects.toMatchObject({ kind: "timeout" });
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  test("that prints without end is ended", async () => {
    await expect(run(["yes"], { signal, timeoutMs: 20_000 })).rejects.toMatchObject({
      message: expect.stringContaining("printed more than"),
    });
  });

  test("ends with its caller", async () => {
    const abort = new AbortController();
    const running = run(["sleep", "300"], { signal: abort.signal });
    abort.abort(new Error("given up"));
    await expect(running).rejects.toThrow("given up");
    await expect(run(["true"], { signal: abort.signal })).rejects.toThrow("given up");
  });
});
