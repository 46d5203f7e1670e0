import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { OperationRun } from "../../../src/http/domain.ts";
import { eventStream } from "../../../src/http/event-stream.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a quiet operation sends a comment every ten seconds, and none after its end", async () => {
  const result = Promise.withResolvers<string>();
  const run: OperationRun<string> = { id: "1", events: (async function* () {})(), result: result.promise };
  const stream = eventStream(run, async ({ result }) => ({ metadata: await result }));
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  await vi.advanceTimersByTimeAsync(20_000);
  expect((await reader.read()).value).toBe(": keep-alive\n\n");
  expect((await reader.read()).value).toBe(": keep-alive\n\n");
  result.resolve("done");
  expect((await reader.read()).value).toBe('event: result\ndata: {"metadata":"done"}\n\n');
  expect((await reader.read()).done).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("a caller that goes away leaves no timer behind, and the operation its events", async () => {
  const result = Promise.withResolvers<string>();
  const run: OperationRun<string> = { id: "1", events: (async function* () {})(), result: result.promise };
  const stream = eventStream(run, async () => ({}));
  await stream.cancel();
  expect(vi.getTimerCount()).toBe(0);
});
