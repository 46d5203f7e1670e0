import type { OperationEvent } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { createProgress, stepLine } from "../../src/progress.ts";

function event(step: number, state: OperationEvent["state"], more: Partial<OperationEvent> = {}): OperationEvent {
  return {
    operation: "op",
    kind: "bootstrap",
    step,
    of: 12,
    title: "Write certificates",
    state,
    elapsedMs: 40,
    ...more,
  };
}

function shown(events: readonly OperationEvent[], columns?: number): string {
  let text = "";
  const progress = createProgress({
    write: (piece) => {
      text += piece;
    },
    terminal: columns === undefined ? undefined : { columns },
    now: () => 0,
  });
  for (const one of events) progress.show(one);
  progress.close();
  return text;
}

describe("the line of a step", () => {
  test.each([
    ["started", undefined, "  [ 3/12] Write certificates ... 0.04 s"],
    ["progress", "2 of 5", "  [ 3/12] Write certificates ... 0.04 s, 2 of 5"],
    ["done", undefined, "  [ 3/12] Write certificates ... 0.04 s"],
    ["done", "kept", "  [ 3/12] Write certificates ... 0.04 s (kept)"],
    ["failed", "disk full", "  [ 3/12] Write certificates ... failed after 0.04 s: disk full"],
    ["undoing", undefined, "  [ 3/12] Write certificates ... undoing, 0.04 s"],
    ["undone", undefined, "  [ 3/12] Write certificates ... undone in 0.04 s"],
  ] as const)("%s, note %s", (state, note, line) => {
    expect(stepLine(event(3, state, note === undefined ? {} : { note }))).toBe(line);
  });
});

describe("progress", () => {
  test("without a terminal is one line per finished step and no control characters", () => {
    const events = [event(1, "started"), event(1, "progress"), event(1, "done"), event(2, "started")];
    expect(shown(events)).toBe("  [ 1/12] Write certificates ... 0.04 s\n");
  });

  test("on a terminal rewrites the line of the running step and leaves the finished one", () => {
    const line = "  [ 1/12] Write certificates ... 0.04 s";
    expect(shown([event(1, "started"), event(1, "done")], 80)).toBe(`\r\u001b[K${line}\r\u001b[K${line}\n`);
  });

  test("on a narrow terminal never wraps the line that is rewritten", () => {
    const [, drawn = ""] = shown([event(1, "started")], 30).split("\r\u001b[K");
    expect(drawn).toHaveLength(29);
  });

  test("is not told twice after a reconnection", () => {
    const events = [event(1, "started"), event(1, "done"), event(2, "done")];
    expect(shown([...events, ...events])).toBe(shown(events));
    expect(shown([...events, event(1, "started"), event(1, "progress")], 80)).toBe(shown(events, 80));
  });
});
